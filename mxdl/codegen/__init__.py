"""The amalgamation: a predict graph and its parameters become one C file that needs nothing but libm."""
from .export import export_c as export_c
from .export import export_c_files as export_c_files
