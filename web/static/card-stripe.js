// The Payment Element of Stripe.js: the card is Stripe's business.
const form = document.getElementById("card");
const wrong = document.getElementById("wrong");
const button = document.getElementById("pay");
button.disabled = false;
const stripe = Stripe(form.dataset.publishableKey);
const elements = stripe.elements({ clientSecret: form.dataset.clientSecret });
elements.create("payment").mount("#payment-element");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  wrong.hidden = true;
  button.disabled = true;
  const { error } = await stripe.confirmPayment({ elements, confirmParams: { return_url: form.dataset.returnUrl } });
  wrong.textContent = error.message || "The payment did not go through. Try again.";
  wrong.hidden = false;
  button.disabled = false;
});
