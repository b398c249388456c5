"""The command line of the package, for tests of whole commands."""

import pytest

from burnish.cli.main import main


def burnish(*arguments: object) -> int:
    """Run `burnish` with these arguments in this process; returns its exit code."""
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    code = ended.value.code
    assert code is None or isinstance(code, int), code
    return code or 0
