/* Figures open large in a dialog, from a button below each; Escape or the button closes it. Without scripts there is
   no button and the page is complete. The figure itself moves into the dialog, so that its slider works there too. */
document.addEventListener("DOMContentLoaded", () => {
  const article = document.querySelector(".bd-article");
  if (!article || !window.HTMLDialogElement) return;
  let dialog, place;

  const close = document.createElement("button");
  close.type = "button";
  close.className = "ntk-button ntk-close";
  close.textContent = "Close";

  function open(figure, button) {
    if (!dialog) {
      dialog = document.createElement("dialog");
      dialog.className = "ntk-zoomed";
      dialog.setAttribute("aria-label", "Figure, enlarged");
      close.addEventListener("click", () => dialog.close());
      dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
      dialog.addEventListener("close", () => {
        place.replaceWith(dialog.querySelector("figure"));
        dialog.returnTo.focus();
      });
      // Inside the article, so that figures and formulas keep the look they have there.
      article.append(dialog);
    }
    place = document.createElement("div");
    place.style.height = figure.offsetHeight + "px";
    figure.replaceWith(place);
    dialog.replaceChildren(close, figure);
    dialog.returnTo = button;
    dialog.showModal();
    close.focus();
  }

  for (const figure of article.querySelectorAll("figure")) {
    if (!figure.querySelector("img, svg") || figure.closest("a")) continue;
    let tools = figure.querySelector(".ntk-figure-tools");
    if (!tools) {
      tools = document.createElement("div");
      tools.className = "ntk-figure-tools";
      figure.append(tools);
    }
    const button = document.createElement("button");
    button.type = "button";
    button.className = "ntk-button";
    button.textContent = "Enlarge";
    const number = /Fig(?:ure|\.) [\d.]*\d/.exec(figure.textContent);
    button.setAttribute("aria-label", "Enlarge " + (number ? number[0] : "this figure"));
    button.addEventListener("click", () => open(figure, button));
    tools.prepend(button);
    for (const image of figure.querySelectorAll("img")) {
      image.classList.add("ntk-can-zoom");
      image.addEventListener("click", () => dialog?.open || open(figure, button));
    }
  }
});
