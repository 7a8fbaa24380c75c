import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "kernels.md"


def test_the_examples_print_what_the_page_says(capsys):
    text = PAGE.read_text()
    namespace = {}
    for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
        exec(block, namespace)
        shown = " ".join(line[2:] for line in block.splitlines() if line.startswith("# "))
        printed = " ".join(capsys.readouterr().out.split())
        assert printed == shown
