"""Every built page as a reader's browser shows it."""

import inspection


def test_page_is_sound(book, browser, page_name):
    with inspection.opened(browser, f"{book}/{page_name}") as (page, faults):
        faults += inspection.formulas(page)
        faults += inspection.alt_texts(page)
        faults += inspection.sliders(page)
        faults += inspection.accessibility(page, "light")
        faults += inspection.accessibility(page, "dark")
        faults += inspection.sideways(page)
        assert not faults, "\n".join([page_name, *faults])
