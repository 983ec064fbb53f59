"""What a page of the book must hold to, each as a function that returns the faults it finds."""

from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page

ROOT = Path(__file__).resolve().parents[2]
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 800}
# A label names the figure; a description of at least this length can say what it shows.
MIN_ALT = 30


@contextmanager
def opened(browser: Browser, url: str, *, settle: bool = True):
    """Open a page in a fresh context; give it and the list of faults that loading it showed."""
    context = browser.new_context(viewport=WIDE, color_scheme="light", reduced_motion="reduce")
    # Nothing may leave this machine, not even in a test of a page that tries.
    context.route(lambda address: not _local(address), lambda route: route.abort())
    page, faults = context.new_page(), []
    page.on("console", lambda m: faults.append(f"console error: {m.text}") if m.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(f"script error: {error}"))
    page.on("request", lambda r: None if _local(r.url) else faults.append(f"request to another host: {r.url}"))
    page.on("requestfailed", lambda r: faults.append(f"failed request: {r.url}") if _local(r.url) else None)
    page.on("response", lambda r: faults.append(f"status {r.status}: {r.url}") if r.status >= 400 else None)
    try:
        page.goto(url)
        if settle:
            typeset(page)
        yield page, faults
    finally:
        context.close()


def _local(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("file", "data", "blob", "about") or parts.hostname == "127.0.0.1"


def typeset(page: Page) -> None:
    """Wait until the page is loaded and MathJax, where the page has it, is done."""
    page.wait_for_load_state("load")
    if page.locator("script[src*='tex-chtml']").count():
        page.wait_for_function("() => window.MathJax && MathJax.startup && MathJax.startup.promise")
        page.evaluate("() => MathJax.startup.promise.then(() => true)")


def formulas(page: Page) -> list[str]:
    """Formulas that aren't rendered, have an error, or still show their dollars."""
    return page.evaluate(
        r"""() => {
        const faults = [];
        for (const e of document.querySelectorAll('.math'))
            if (!e.querySelector('mjx-container')) faults.push('formula not rendered: ' + e.textContent.slice(0, 80));
        for (const e of document.querySelectorAll('mjx-merror, [data-mml-node="merror"]'))
            faults.push('formula with an error: ' + (e.getAttribute('title') || e.textContent).slice(0, 80));
        const main = document.querySelector('main') || document.body;
        const walk = document.createTreeWalker(main, NodeFilter.SHOW_TEXT);
        while (walk.nextNode()) {
            const t = walk.currentNode;
            if (t.parentElement.closest('pre, code, script, style, mjx-container, svg')) continue;
            if (/\$[^$]*\$|\\\(|\\\[|\\begin\{/.test(t.data)) faults.push('raw TeX: ' + t.data.trim().slice(0, 80));
        }
        return faults;
    }"""
    )


def alt_texts(page: Page) -> list[str]:
    """Figures without a text that says what they show. A picture inside a link names the link, so it may be short."""
    return page.evaluate(
        r"""(least) => {
        const faults = [];
        const said = e => (e.getAttribute('alt') || e.getAttribute('aria-label')
            || (e.querySelector && e.querySelector('title') || {}).textContent || '').trim();
        const main = document.querySelector('.bd-article') || document.body;
        for (const e of main.querySelectorAll('img, svg')) {
            if (e.closest('a, button, summary, mjx-container, [aria-hidden="true"]')) continue;
            if (e.parentElement.closest('svg')) continue;
            const around = e.closest('[role="img"]');
            const text = said(around && around !== e ? around : e);
            if (text.length < least)
                faults.push(`alt text of ${text.length} characters: ${text || e.outerHTML.slice(0, 80)}`);
        }
        return faults;
    }""",
        MIN_ALT,
    )


def sideways(page: Page) -> list[str]:
    """What makes a phone scroll sideways, the widest elements first."""
    page.set_viewport_size(PHONE)
    page.wait_for_timeout(150)
    width = page.evaluate("document.scrollingElement.scrollWidth")
    if width <= PHONE["width"]:
        return []
    widest = page.evaluate(
        """() => [...document.querySelectorAll('main *')].map(e => [e.getBoundingClientRect().right, e])
            .filter(p => p[0] > innerWidth + 1).sort((a, b) => b[0] - a[0]).slice(0, 3)
            .map(p => p[1].tagName.toLowerCase() + '.' + p[1].getAttribute('class'))"""
    )
    return [f"{width} pixels wide on a phone of {PHONE['width']}: {', '.join(widest)}"]


def accessibility(page: Page, scheme: str) -> list[str]:
    """Serious and critical findings of axe in one colour scheme; in dark by the one rule that depends on colours."""
    page.emulate_media(color_scheme=scheme)
    page.wait_for_timeout(150)
    if not page.evaluate("() => typeof axe !== 'undefined'"):
        page.add_script_tag(path=AXE)
    violations = page.evaluate(
        """(rules) => axe.run(document, {resultTypes: ['violations'], preload: false, ...rules})
            .then(r => r.violations.filter(v => v.impact === 'serious' || v.impact === 'critical')
            .map(v => v.id + ' (' + v.impact + '): ' + v.nodes.slice(0, 3).map(n => n.target + ' '
                + n.html.slice(0, 120)).join(' | ')))""",
        {"runOnly": ["color-contrast"]} if scheme == "dark" else {},
    )
    return [f"axe, {scheme}: {violation}" for violation in violations]


def sliders(page: Page) -> list[str]:
    """Sliders that the keyboard doesn't move, or that move without the picture changing."""
    faults = []
    for control in page.locator("main input[type=range]").all():
        name = control.get_attribute("id") or "slider"
        figure = control.locator("xpath=ancestor::figure[1]")
        if not figure.count():
            faults.append(f"{name}: stands in no <figure>")
            continue
        control.scroll_into_view_if_needed()
        control.focus()
        control.press("Home")
        seen = [_pictures(figure)]
        for _ in range(int(control.get_attribute("max")) - int(control.get_attribute("min") or 0)):
            control.press("ArrowRight")
            seen.append(_pictures(figure))
        if any(not pictures for pictures in seen):
            faults.append(f"{name}: a position shows no picture")
        elif len(set(seen)) < len(seen):
            faults.append(f"{name}: {len(seen)} positions show {len(set(seen))} different pictures")
    return faults


def _pictures(figure) -> str:
    """The pictures of a figure that can be seen, as one string; empty where there is none."""
    return figure.evaluate(
        """f => [...f.querySelectorAll('img, svg')]
            .filter(e => e.checkVisibility() && e.getBoundingClientRect().height > 20)
            .map(e => e.src || e.outerHTML).join('')"""
    )
