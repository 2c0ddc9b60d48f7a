// Signing in with a passkey, and registering one. The options come as JSON with
// binary values in base64url, as the browser's own parsers take them.
const button = document.getElementById("passkey");
const trouble = document.getElementById("passkey-trouble");

async function ask(path, body) {
  const answer = await fetch(path, {method: "POST", headers: {"Content-Type": "application/json"}, body: body && JSON.stringify(body)});
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(said.detail || "creel answers " + answer.status);
  return said;
}

async function signIn() {
  const options = await ask(button.dataset.path + "/begin");
  const credential = await navigator.credentials.get({publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options.publicKey)});
  const done = await ask(button.dataset.path + "/finish?next=" + encodeURIComponent(button.dataset.next), credential.toJSON());
  location.assign(done.next);
}

async function register() {
  const options = await ask(button.dataset.path + "/register");
  const credential = await navigator.credentials.create({publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options.publicKey)});
  await ask(button.dataset.path + "/registered?name=" + encodeURIComponent(document.getElementById("name").value), credential.toJSON());
  location.reload();
}

if (window.PublicKeyCredential && PublicKeyCredential.parseRequestOptionsFromJSON) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    trouble.hidden = true;
    button.disabled = true;
    try {
      await (button.dataset.register ? register() : signIn());
    } catch (err) {
      trouble.textContent = err.name === "NotAllowedError" ? "No passkey was chosen." : err.message;
      trouble.hidden = false;
    } finally {
      button.disabled = false;
    }
  });
} else if (button.dataset.register) {
  trouble.textContent = "This browser has no passkeys, or the page is not at an https address.";
  trouble.hidden = false;
}
