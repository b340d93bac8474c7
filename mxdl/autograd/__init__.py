"""Recording scopes, the tape, custom functions: ``mx.autograd``."""
from .differentiate import backward as backward
from .differentiate import get_symbol as get_symbol
from .differentiate import grad as grad
from .differentiate import mark_variables as mark_variables
from .function import Function as Function
from .scope import is_recording as is_recording
from .scope import is_training as is_training
from .scope import pause as pause
from .scope import predict_mode as predict_mode
from .scope import record as record
from .scope import set_recording as set_recording
from .scope import set_training as set_training
from .scope import train_mode as train_mode
