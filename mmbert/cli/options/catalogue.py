"""What there is to choose from: every YAML file of a group, what its head and its class's docstring say of it.

Nothing is imported and no list is kept: a file that is put into the group's folder, here or in the package, is there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mmbert.conf
from mmbert.cli.options.help import subfolders
from mmbert.cli.options.signatures import Signature, signature_of
from mmbert.core.errors import ConfigError

#: A work that a docstring names: authors, year, title in quotes, and where it can be had.
SURNAME = r"[A-Z][\w’'-]+"
WORK = re.compile(
    rf"(?P<authors>(?:{SURNAME}, )*{SURNAME}(?: et al\.| (?:and|&) {SURNAME})?),? \(?(?P<year>(?:19|20)\d\d)\)?"
    r'(?:, "(?P<title>[^"]+)")?(?:[^.;"]{0,60}?(?P<place>arXiv:[\w./-]*\w))?'
)
#: What a file's head says to need: a line ``# Needs: …``.
NEEDS = re.compile(r"(?m)^# Needs?: *(.+)$")
#: Lines of a head that are no description.
SKIPPED_COMMENT = re.compile(r"# (?:@|(?:Try|Sweep|Own|Run|Then|Start|See|Go on|Papers?|Needs?): )")


@dataclass(frozen=True)
class Entry:
    """One choice of a group.

    Attributes:
        group: such as ``fusion``.
        name: what one writes after ``fusion=``.
        path: of the YAML file.
        own: it lies in the working folder, not in the package.
    """

    group: str
    name: str
    path: Path
    own: bool = False

    @property
    def text(self) -> str:
        """The file."""
        return self.path.read_text(encoding="utf-8")

    @property
    def head(self) -> list[str]:
        """The comment lines at its top."""
        lines = []
        for line in self.text.splitlines():
            if not line.startswith("#"):
                break
            lines.append(line)
        return lines

    @property
    def summary(self) -> str:
        """What the head says first: its text before ``# Try:`` and the like, as far as the first sentence goes."""
        lines: list[str] = []
        for line in self.head:
            if SKIPPED_COMMENT.match(line):
                if lines:
                    break
                continue
            lines.append(line.lstrip("# ").strip())
        return re.split(r"(?<=[.!?])(?<! al\.)\s", " ".join(lines).strip(), maxsplit=1)[0]

    @property
    def options(self) -> dict[str, Any]:
        """The file's options, less those of Hydra.

        Raises:
            ConfigError: the file is no YAML.
        """
        import yaml

        try:
            content = yaml.safe_load(self.text) or {}
        except yaml.YAMLError as error:
            raise ConfigError(f"{self.path} is no YAML: {error}") from error
        return {str(key): value for key, value in content.items() if not str(key).startswith("_") and key != "defaults"}

    @property
    def target(self) -> str | None:
        """The class that it names, that of its first part if it is made of parts."""
        match = re.search(r"(?m)^_target_: *([\w.]+)", self.text)
        return match[1] if match else None

    def signature(self) -> Signature | None:
        """Of its class; None if it has none or its source does not show it."""
        try:
            return signature_of(self.target) if self.target else None
        except ConfigError:
            return None

    @property
    def paper(self) -> str:
        """The work that the file's head names, else that of its class's or module's docstring; empty if none does.

        A docstring that several files of the group share describes all of them, and is not read.
        """
        texts = [" ".join(line.lstrip("# ") for line in self.head)]
        signature, target = self.signature(), str(self.target)
        beside = [path for path in self.path.parent.glob("*.yaml") if path.is_file() and path != self.path]
        others = [path.read_text(encoding="utf-8") for path in beside]
        if signature is not None and not any(f"_target_: {target}\n" in text for text in others):
            texts.append(signature.doc)
            if not any(f"_target_: {target.rpartition('.')[0]}." in text for text in others):
                texts.append(signature.module_doc)
        return first_work(texts)

    @property
    def needs(self) -> str:
        """What it needs: what the head says, and for a strategy what it reads."""
        found = [match.rstrip(".") for match in NEEDS.findall(self.text)]
        found += re.findall(r"pip install '?(mmbert\[\w+\])'?", "\n".join(self.head))
        signature = self.signature()
        if self.group == "fusion" and signature is not None:
            constants = dict(signature.constants)
            found.append(f"each modality's {'vector' if constants.get('reads_tokens') is False else 'tokens'}")
        if self.options.get("pretrained") is True and not found:
            found.append("its weights, fetched once" if not self.bundled else "nothing: its weights are installed")
        return ", ".join(dict.fromkeys(found))

    @property
    def bundled(self) -> bool:
        """Whether the head says that the weights need no download."""
        return "no download" in " ".join(self.head)


def first_work(texts: list[str]) -> str:
    """The first work with a title or an arXiv number, those after the word "Paper:" before others; or nothing."""
    whole = [" ".join(text.split()) for text in texts]
    after_paper = [text.partition(word)[2] for text in whole for word in ("Paper:", "Papers:")]
    for text in [*after_paper, *whole]:
        for match in WORK.finditer(text):
            if match["title"] or match["place"]:
                title = f'"{match["title"]}"' if match["title"] else ""
                return ", ".join(filter(None, [f"{match['authors']} {match['year']}", title, match["place"]]))
    return ""


def group_names() -> list[str]:
    """All groups, those in the working folder too."""
    from mmbert.cli.options.help import group_choices

    return sorted(group_choices())


def entries(group: str) -> list[Entry]:
    """The choices of a group by name; of two of one name, here and in the package, the package's, as in a run."""
    package, here = Path(mmbert.conf.__path__[0]), Path.cwd()
    folders = [(package / group, False), (here / "conf" / group, True)]
    if group in subfolders(package):  # directly in the folder only what mmbert knows is looked for
        folders.append((here / group, True))
    if group == "experiment":
        folders.append((here / "experiments", True))
    found: dict[str, Entry] = {}
    for folder, own in folders:
        for path in sorted(filter(Path.is_file, folder.glob("*.yaml"))) if folder.is_dir() else []:
            found.setdefault(path.stem, Entry(group, path.stem, path, own))
    return [found[name] for name in sorted(found)]
