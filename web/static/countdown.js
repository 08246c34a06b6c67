// Counts down by the server's clock: the difference of two times of the server, then this machine's steady clock.
for (const element of document.querySelectorAll("[data-expires-at]")) {
  const left = Date.parse(element.dataset.expiresAt) - Date.parse(element.dataset.serverNow);
  const start = performance.now();
  const show = () => {
    const seconds = Math.max(0, Math.ceil((left - (performance.now() - start)) / 1000));
    element.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    if (seconds > 0) setTimeout(show, 250);
    else element.textContent = "0:00 – the time is over";
  };
  show();
}
