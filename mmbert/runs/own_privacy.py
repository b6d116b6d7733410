"""What a run's own config lets be written of its samples, for commands that read the run."""

from __future__ import annotations

from mmbert.core.errors import ConfigError
from mmbert.core.privacy import Privacy
from mmbert.runs.folder import RunFolder


def read_privacy(run: RunFolder) -> Privacy:
    """The settings of ``privacy`` in a run's config; everything may be written where there is no config.

    Raises:
        ConfigError: a pattern in it cannot be used.
        DataError: the config is damaged.
    """
    try:
        return Privacy.of(run.read_config().get("privacy") if run.config.is_file() else None)
    except ConfigError as error:
        raise ConfigError(f"{run.config}: privacy.mask: {error}") from error
