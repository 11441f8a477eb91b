"""Languages whose pipelines take long to make."""

from tests.model.test_languages import EVERYWHERE
from tests.support.model import found


def test_what_has_a_form_of_its_own_is_found_in_french() -> None:
    for kind, value in EVERYWHERE.items():
        assert found(f"Nota: {value}.", "fr") == [(kind, value)]
    assert "PHONE_NUMBER" in [kind for kind, _ in found("téléphone 06 12 34 56 78", "fr")]
