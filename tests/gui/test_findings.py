"""What the form says after a run: numbers with what they count, and nothing empty."""

from napari_convfact.gui.findings import findings_text


def test_sentences_alone_leave_no_empty_line():
    assert findings_text({"message": "One bead was averaged."}) == "<p>One bead was averaged.</p>"
    assert findings_text({"message": ""}) == ""


def test_figures_come_first():
    text = findings_text({"message": "Done.", "error (%)": 2.99871, "converged": False})
    assert text == "<p>error (%) <b>2.999</b>, not converged</p><p>Done.</p>"
