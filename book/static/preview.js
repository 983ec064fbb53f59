/* A reference to a formula, a theorem, a figure or a word of the glossary shows its target when the pointer rests on
   it or the keyboard reaches it. Escape hides it; the pointer may move into it. Without scripts, and from a file where
   a browser lets no page read another, the reference is a plain link. */
document.addEventListener("DOMContentLoaded", () => {
  const article = document.querySelector(".bd-article");
  if (!article) return;
  const WAIT = 250;
  const pages = new Map();
  let card, timer, owner;

  /* What a fragment names, where it is one of the things that can be shown in a card. */
  function target(root, id) {
    const found = id && root.querySelector("#" + CSS.escape(id));
    if (!found) return null;
    if (found.matches("div.math, .proof, figure")) return found;
    if (found.matches("dt")) return found.closest("dl.glossary") && found.nextElementSibling;
    return found.matches("span") && found.nextElementSibling?.matches("div.math, .proof") ? found.nextElementSibling : null;
  }

  async function page(address) {
    if (!pages.has(address)) {
      const read = fetch(address).then((answer) => (answer.ok ? answer.text() : ""));
      pages.set(address, read.then((text) => new DOMParser().parseFromString(text, "text/html")));
    }
    return pages.get(address);
  }

  async function content(link) {
    const address = new URL(link.href, location.href);
    const id = decodeURIComponent(address.hash.slice(1));
    const here = address.pathname === location.pathname && address.origin === location.origin;
    if (!id || address.origin !== location.origin || (!here && location.protocol === "file:")) return null;
    const found = target(here ? document : await page(address.origin + address.pathname), id);
    if (!found) return null;
    const copy = found.cloneNode(true);
    for (const e of copy.querySelectorAll(".headerlink, .ntk-figure-tools, input, label, output, mjx-assistive-mml")) e.remove();
    for (const e of [copy, ...copy.querySelectorAll("[id]")]) e.removeAttribute("id");
    for (const e of copy.querySelectorAll("[src]")) e.src = new URL(e.getAttribute("src"), address).href;
    for (const e of copy.querySelectorAll("a[href], [tabindex]")) e.setAttribute("tabindex", "-1");
    for (const e of copy.querySelectorAll("a[href]")) e.href = new URL(e.getAttribute("href"), address).href;
    return { copy, here };
  }

  function hide() {
    clearTimeout(timer);
    owner?.removeAttribute("aria-describedby");
    owner = null;
    if (card) card.hidden = true;
  }

  async function show(link) {
    const made = await content(link).catch(() => null);
    if (!made || owner !== link) return;
    if (!card) {
      card = document.createElement("div");
      card.id = "ntk-preview";
      card.className = "ntk-preview";
      card.setAttribute("role", "tooltip");
      card.addEventListener("pointerenter", () => clearTimeout(timer));
      card.addEventListener("pointerleave", leave);
      article.append(card);
    }
    card.replaceChildren(made.copy);
    card.hidden = false;
    link.setAttribute("aria-describedby", card.id);
    // A formula of another page comes as TeX; one of this page is typeset already.
    if (!made.here && window.MathJax?.typesetPromise) await MathJax.typesetPromise([card]).catch(() => {});
    const box = link.getClientRects()[0] || link.getBoundingClientRect();
    const around = (card.offsetParent || document.body).getBoundingClientRect();
    const left = Math.max(8, Math.min(box.left, innerWidth - card.offsetWidth - 16));
    const above = box.bottom + card.offsetHeight + 12 > innerHeight && box.top > card.offsetHeight + 12;
    card.style.left = left - around.left + "px";
    card.style.top = (above ? box.top - card.offsetHeight - 4 : box.bottom + 4) - around.top + "px";
  }

  function leave() {
    clearTimeout(timer);
    timer = setTimeout(hide, WAIT);
  }

  function enter(event) {
    const link = event.target.closest?.("a[href*='#']");
    if (!link || !article.contains(link) || link.closest(".headerlink, .ntk-preview, dialog")) return;
    if (link === owner) return clearTimeout(timer);
    hide();
    owner = link;
    timer = setTimeout(() => show(link), event.type === "focusin" ? 0 : WAIT);
    link.addEventListener("pointerleave", leave, { once: true });
    link.addEventListener("blur", hide, { once: true });
  }

  // A finger has no hover: there a reference is followed.
  article.addEventListener("pointerover", (event) => event.pointerType !== "touch" && enter(event));
  article.addEventListener("focusin", (event) => event.target.matches?.(":focus-visible") && enter(event));
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
});
