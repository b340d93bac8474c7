"""Write the golden texts anew: ``python -m tests.golden`` (then read the difference)."""
from tests.golden.nets import NETS
from tests.golden.test_golden import path_of
from tests.golden.text import golden

for name in NETS:
    path_of(name).write_text(golden(name))
    print(path_of(name).name)
