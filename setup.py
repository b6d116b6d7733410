"""The two folders that make the package: ``mmbert/`` and ``conf/``, which is installed as ``mmbert.conf``.

Everything else is declared in setup.cfg.
"""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["mmbert", "mmbert.*"]), "mmbert.conf"],
    package_dir={"mmbert.conf": "conf"},
    package_data={
        "mmbert": ["py.typed"],
        "mmbert.reporting.outputs.page": ["assets/*"],
        "mmbert.conf": ["*.yaml", "**/*.yaml"],
    },
)
