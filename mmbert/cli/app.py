"""The shell around a Hydra command: options are checked before heavy imports, mistakes get one message.

    def main() -> None:
        run_app(train, config_name="train")

``train(cfg)`` is the job; it imports torch and all the rest inside itself. Exit codes: 0 = done, 1 = a fault of ours
(with its traceback), 2 = a mistake of the user's, 130 = interrupted.
"""

from __future__ import annotations

import errno
import functools
import gc
import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mmbert.cli.failures import SweepFailed, is_hydra_error, is_user_error, message_of, picklable
from mmbert.core.errors import ConfigError, MmbertError
from mmbert.core.working_folder import admit_working_folder, standing_in

if TYPE_CHECKING:  # Hydra takes a fifth of a second to import, which --help does not need
    from argparse import Namespace

    from omegaconf import DictConfig

#: What a system answers that does not let a file be used; whose fault that is needs no traceback.
REFUSED_FILES = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR}

Job = Callable[["DictConfig"], Any]

FLAGS_WITH_VALUE = {"--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn"}
FLAGS_WITH_VALUE |= {"--config-dir", "-cd", "--experimental-rerun"}
#: What may follow --info.
INFO_TOPICS = {"all", "config", "defaults", "defaults-tree", "plugins", "searchpath"}
#: What a distributed run leaves in the environment.
DISTRIBUTED_ENVIRONMENT = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK", "WORLD_SIZE")


def run_app(job: Job, config_name: str) -> None:
    """Runs a command from ``sys.argv``; leaves by SystemExit unless all went well.

    Args:
        job: called with the checked config, once for each job of a sweep; returns what a sweeper optimises.
        config_name: the primary config, ``train`` for conf/train.yaml and ``mmbert-train``.
    """
    command = f"mmbert-{config_name}"
    if {"-h", "--help"} & set(sys.argv[1:]):
        from mmbert.cli.options.help import print_help

        print_help(command)
        return
    full = wants_traceback()
    failures: list[Exception] = []
    try:
        compose_and_run(job, command, config_name, failures, full)
    except KeyboardInterrupt:
        print(f"\n{command}: interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    except Exception as error:
        if full:
            raise
        if isinstance(error, SweepFailed) or any(error is failure for failure in failures):  # printed when it happened
            failed = error if isinstance(error, SweepFailed) else SweepFailed(failures)
            failures[:] = failed.errors  # those of other processes too
            print(f"{command}: {failed} of the sweep failed; what went wrong is above", file=sys.stderr)
        elif is_hydra_error(error) or isinstance(error, MmbertError):
            print(f"{command}: {message_of(error)}", file=sys.stderr)
        else:
            raise
        raise SystemExit(2 if all(map(is_user_error, failures)) else 1) from None


def run_plain(job: Callable[[list[str]], None], command: str, words: list[str] | None = None) -> None:
    """Runs a job that does not need Hydra, given the words of the command line; mistakes are reported as above."""
    full = wants_traceback() or "--traceback" in (words or ())
    try:
        job([word for word in (sys.argv[1:] if words is None else words) if word != "--traceback"])
    except KeyboardInterrupt:
        print(f"\n{command}: interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    except MmbertError as error:
        if full:
            raise
        print(f"{command}: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except OSError as error:
        if full or error.filename is None or error.errno not in REFUSED_FILES:
            raise
        print(f"{command}: {error.filename}: {error.strerror}.", file=sys.stderr)
        raise SystemExit(2) from None


def run_with_usage(
    job: Callable[[list[str]], None],
    command: str,
    usage: str,
    words: list[str] | None = None,
    needs_words: bool = True,
) -> None:
    """As ``run_plain``; ``--help`` prints the usage, and so does a command line without words if the job needs some."""
    given = [word for word in (sys.argv[1:] if words is None else words) if word != "--traceback"]
    if {"-h", "--help"} & set(given) or needs_words and not given:
        print(usage, end="")
        return
    run_plain(job, command, words)


def compose_and_run(job: Job, command: str, config_name: str, failures: list[Exception], full: bool) -> None:
    """Checks the command line, then lets Hydra run the job or print what it was asked for."""
    import hydra
    from hydra._internal.utils import get_args_parser

    from mmbert.cli.options.check import check_folder, writing_folders
    from mmbert.cli.options.quoting import quoted_words
    from mmbert.cli.options.task_word import with_task_sets
    from mmbert.cli.options.trusted import CONSENT, refuse_pickle
    from mmbert.cli.sweep.search_path import PACKAGE, add_working_folder

    add_working_folder()
    sys.argv = [sys.argv[0], *flags_first(sys.argv[1:])]
    args = get_args_parser().parse_args()
    if args.experimental_rerun is not None:
        refuse_pickle(args)
        sys.argv.remove(CONSENT)
    if args.multirun:  # errors of one's own classes may come back from the processes of a launcher
        admit_working_folder()
    flags = sys.argv[: len(sys.argv) - len(args.overrides)]
    args.overrides = quoted_words(with_task_sets(args.overrides))
    sys.argv = [*flags, *args.overrides]
    gc.disable()  # composing makes many small objects that all live on: collecting among them costs a fifth of it
    try:
        cfg = check_command_line(args, config_name)
    finally:
        gc.enable()
    if args.cfg == "job" and cfg is not None:
        print_config(cfg, args.package, args.resolve)
        return
    if args.cfg is None and cfg is not None and not args.multirun:
        check_folder(cfg)
    main = hydra.main(version_base="1.3", config_path=f"pkg://{PACKAGE}", config_name=config_name)
    with writing_folders(failures):
        main(reporting_errors(job, command, failures, full))()


def wants_traceback() -> bool:
    """Whether the user asked for tracebacks: ``--traceback``, which is taken out of argv, or HYDRA_FULL_ERROR=1.

    From here on HYDRA_FULL_ERROR is set: Hydra then raises errors as they are, and we print them. Processes that are
    started from this one inherit it, and find the user's own wish in MMBERT_TRACEBACK.
    """
    asked = "--traceback" in sys.argv
    sys.argv = [word for word in sys.argv if word != "--traceback"]
    asked = asked or os.environ.get("MMBERT_TRACEBACK", os.environ.get("HYDRA_FULL_ERROR")) == "1"
    os.environ["MMBERT_TRACEBACK"] = str(int(asked))
    os.environ["HYDRA_FULL_ERROR"] = "1"
    return asked


def flags_first(words: list[str]) -> list[str]:
    """Flags and their values, then the options: Hydra refuses options on both sides of a flag."""
    flags, options = [], []
    rest = iter(words)
    for word in rest:
        if word in INFO_TOPICS:
            flags.append(word)
        elif not word.startswith("-"):
            options.append(word)
        else:
            flags.append(word)
            if word in FLAGS_WITH_VALUE and (following := next(rest, None)) is not None:
                flags.append(following)
    return [*flags, *options]


def check_command_line(args: Namespace, config_name: str) -> DictConfig | None:
    """Checks the options of a run, a sweep or ``--cfg`` before Hydra makes its folder.

    Returns:
        The config of the first job with its ``hydra`` part, or None where there is nothing to check.

    Raises:
        ConfigError: an option is misspelt or has a wrong value.
    """
    import hydra

    from mmbert.cli.options.check import check_words
    from mmbert.cli.sweep.search_path import PACKAGE, WorkingFolderSearchPath

    other = args.hydra_help or args.shell_completion or args.info or args.experimental_rerun
    relaunched = os.environ.get("LOCAL_RANK", "0") != "0"  # its words were checked by the process that started it
    if other or relaunched or args.config_path is not None:
        return None
    if args.config_dir is not None and not os.path.isdir(args.config_dir):
        raise ConfigError(f"--config-dir {args.config_dir}: there is no such folder.")
    if (args.run, args.multirun, args.cfg is not None).count(True) > 1:
        raise ConfigError("Give only one of --run, --multirun and --cfg.")
    WorkingFolderSearchPath.config_dir = args.config_dir
    try:
        with hydra.initialize_config_module(PACKAGE, version_base="1.3", job_name=config_name):
            return check_words(args.overrides, args.config_name or config_name, sweep=args.multirun)
    finally:
        WorkingFolderSearchPath.config_dir = None


def print_config(cfg: DictConfig, package: str | None, resolve: bool) -> None:
    """What ``--cfg job`` prints: the job's config, or the part of it that ``--package`` names."""
    from omegaconf import OmegaConf, open_dict

    from mmbert.cli.options.values import first_error_line

    with open_dict(cfg):
        del cfg["hydra"]
    part = cfg if package in (None, "_global_") else OmegaConf.select(cfg, str(package))
    if part is None:
        raise ConfigError(f"--package {package}: the config has no such part.")
    if not OmegaConf.is_config(part):
        print(part)
        return
    if part is not cfg:
        print(f"# @package {package}")
    try:
        print(OmegaConf.to_yaml(part, resolve=resolve), end="")
    except Exception as error:
        if not is_hydra_error(error):
            raise
        raise ConfigError(f"The config cannot be resolved: {first_error_line(error)}") from error


def reporting_errors(job: Job, command: str, failures: list[Exception], full: bool) -> Job:
    """The job as Hydra calls it.

    What goes wrong ends a single run at once. In a sweep it is printed at once and then passed to Hydra, which
    continues with the other jobs and raises it at the end.
    """
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from mmbert.cli.options.check import check_config
    from mmbert.cli.options.custom_class import drop_unaccepted_of_job
    from mmbert.cli.options.subset import keep_subset

    here = os.getcwd()

    @functools.wraps(job)
    def run_job(cfg: DictConfig) -> Any:
        reset_start_method()
        hydra_cfg = HydraConfig.get()
        sweep = hydra_cfg.mode == RunMode.MULTIRUN
        which = f"job {hydra_cfg.job.num} ({' '.join(hydra_cfg.overrides.task)}): " if sweep else ""
        try:
            with standing_in(here), isolated_job(sweep):
                drop_unaccepted_of_job(cfg, hydra_cfg.overrides.task)
                keep_subset(cfg)
                check_config(cfg)
                return job(cfg)
        except Exception as error:
            sent = picklable(error) if sweep else error
            failures.append(sent)
            if full and not sweep:
                raise
            if is_user_error(error) and not full:
                print(f"{command}: {which}{message_of(error)}", file=sys.stderr)
            else:
                print(f"{command}: {which}this is a fault in the program or in a module of your own", file=sys.stderr)
                traceback.print_exc()
            if sweep:
                raise sent from None
            raise SystemExit(2 if is_user_error(error) else 1) from None

    return run_job


def reset_start_method() -> None:
    """Undoes what joblib leaves in its processes: 'loky' as the way to start others, which only loky understands."""
    if multiprocessing.get_start_method(allow_none=True) == "loky":
        multiprocessing.set_start_method(None, force=True)


@contextmanager
def isolated_job(sweep: bool) -> Iterator[None]:
    """Makes a job of a sweep look like a run of its own, to itself and to the jobs after it.

    Lightning starts the other processes of a distributed run with our argv, and with the sweep's own they would sweep;
    and it leaves the process group and its environment variables, which the next job would take for its own.
    """
    if not sweep:
        try:
            yield
        finally:
            leave_process_group()  # its threads, still running when the process ends, may abort it
        return
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import open_dict, read_write

    config: Any = HydraConfig.instance().cfg  # HydraConfig.get() is its hydra part
    argv, environ = sys.argv, {name: os.environ.get(name) for name in DISTRIBUTED_ENVIRONMENT}
    sys.argv = [argv[0], *config.hydra.overrides.task]
    with read_write(config.hydra), open_dict(config.hydra):
        config.hydra.run.dir = config.hydra.runtime.output_dir
    try:
        yield
    finally:
        sys.argv = argv
        leave_process_group()
        for name, value in environ.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def leave_process_group() -> None:
    """Ends torch's process group, if there is one; torch is not imported to find that out."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()
