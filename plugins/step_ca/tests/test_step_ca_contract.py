"""step-ca as every authority has to be. The contract's fixture is in the conftest."""

from __future__ import annotations

from mosaic_hookspecs.testing import AuthorityContract


class TestStepCA(AuthorityContract):
    pass
