// Asks for the order until it has left `awaiting_payment`, then shows the page anew.
const order = document.getElementById("order");
let pause = 500;
const ask = async () => {
  try {
    const answer = await fetch(`/api/orders/${order.dataset.order}`, { cache: "no-store" });
    if (answer.ok && (await answer.json()).status !== order.dataset.status) return location.reload();
  } catch {
    // Without a network we ask again later.
  }
  pause = Math.min(pause * 1.3, 5000);
  setTimeout(ask, pause);
};
setTimeout(ask, pause);
