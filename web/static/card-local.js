// Stands in for Stripe.js in test mode: the card goes from here to the local Stripe, never to the shop.
const form = document.getElementById("card");
const wrong = document.getElementById("wrong");
const button = document.getElementById("pay");
button.disabled = false;

const fail = (words) => {
  wrong.textContent = words;
  wrong.hidden = false;
  button.disabled = false;
};

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  wrong.hidden = true;
  button.disabled = true;
  const [month, year] = document.getElementById("expiry").value.split("/").map((part) => part.trim());
  const facts = form.dataset;
  const body = new URLSearchParams({
    key: facts.publishableKey,
    client_secret: facts.clientSecret,
    return_url: facts.returnUrl,
    "payment_method_data[type]": "card",
    "payment_method_data[card][number]": document.getElementById("number").value.replace(/\s/g, ""),
    "payment_method_data[card][exp_month]": month || "",
    "payment_method_data[card][exp_year]": year && year.length === 2 ? `20${year}` : year || "",
    "payment_method_data[card][cvc]": document.getElementById("cvc").value,
  });
  let answer;
  try {
    answer = await fetch(`${facts.stripe}/v1/payment_intents/${facts.paymentIntent}/confirm`, { method: "POST", body });
  } catch {
    return fail("The payment service cannot be reached. Nothing was charged; try again.");
  }
  const intent = await answer.json();
  if (intent.error) {
    const found = intent.error.payment_intent;
    if (found && found.status === "succeeded") return location.assign(facts.order);
    return fail(intent.error.message || "The card was declined. Try another one.");
  }
  const next = intent.next_action && intent.next_action.redirect_to_url;
  location.assign(next ? next.url : facts.order);
});
