// Counts until the hash fits (ALTCHA's proof of work), then sends the form again with the solution.
const form = document.getElementById("challenge");
const { challenge, salt, algorithm, signature, maxnumber } = form.dataset;
const hex = (bytes) => Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");
const solve = async () => {
  const encoder = new TextEncoder();
  for (let number = 0; number <= Number(maxnumber); number += 1) {
    if (hex(await crypto.subtle.digest("SHA-256", encoder.encode(salt + number))) === challenge) return number;
  }
  return -1;
};
solve().then((number) => {
  form.elements.fm_challenge.value = btoa(JSON.stringify({ algorithm, challenge, number, salt, signature }));
  form.submit();
});
