import {html, useEffect, useState} from '../vendor/preact-htm.js';
import {api} from '../common/api.js';
import {Badge, Field, Form, Notice} from '../common/ui.js';

/** Accepts a code by itself or the whole link it came in. @param {string} text */
function codeOf(text) {
  return /#.*?\b(?:setup|invite)=([^&\s]+)/.exec(text)?.[1] ?? text.trim();
}

/** @param {{summary: any, code?: string, session: any, onDone: () => void}} props */
export function SignIn({summary, code, session, onDone}) {
  const [error, setError] = useState('');
  const [busy, setBusy] = useState(Boolean(code));
  const use = async (/** @type {string} */ given) => {
    await api('POST', '/v1/setup', {code: codeOf(given)});
    onDone();
  };
  useEffect(() => {
    if (code) use(code).catch((fault) => setError(fault.message)).finally(() => setBusy(false));
  }, []);
  if (busy) return html`<${Notice} kind="info">Signing in…<//>`;
  return html`<section class="card narrow" data-testid="sign-in">
    <h1>${summary?.setup_needed ? 'Set up this box' : 'Sign in'}</h1>
    <p>${summary?.setup_needed
      ? 'Nobody looks after this box yet. Its log shows a setup link, which works once: open it, or paste it here.'
      : 'This page is for administrators. Open the link an administrator has made for you, or paste it here. On the box itself, "signalbox token admin" makes one.'}</p>
    ${session?.signed_in && html`<${Notice} kind="warn">You are signed in as ${session.subject}, who may not administer this box.<//>`}
    ${error && html`<${Notice} kind="bad" id="setup-error">${error}<//>`}
    <${Form} onSubmit=${(/** @type {any} */ v) => use(v.code)} submit="Sign in" id="setup-form">
      <${Field} label="Setup link or code" name="code" required=${true} spellcheck=${false} />
    <//>
    <p class="muted">Here to make a call? <a href="/call">Open the test call</a>.</p>
    <p>${summary?.ready ? html`<${Badge} kind="good">The box is ready<//>` : html`<${Badge} kind="bad">The box is not ready<//>`}</p>
  </section>`;
}
