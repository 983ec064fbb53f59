/* Paper can't be opened: what is folded on the screen is unfolded while it is printed. */
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll(".bd-article details:not([open]):not(.ntk-cite)")];
  for (const details of folded) details.open = true;
});
addEventListener("afterprint", () => {
  for (const details of folded) details.open = false;
});
