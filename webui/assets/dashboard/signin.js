import {html, useState} from '../vendor/preact-htm.js';
import {api} from '../common/api.js';
import {Field, Form, Notice} from '../common/ui.js';

/** Accepts a code by itself or the whole link it came in. @param {string} text */
function codeOf(text) {
  return /#.*?\blink=([^&\s]+)/.exec(text)?.[1] ?? text.trim();
}

/**
 * @param {{session: any, code?: string, onDone: () => void}} props
 */
export function SignIn({session, code, onDone}) {
  const [linked, setLinked] = useState(Boolean(code) || session.setup_needed);
  return html`<section class="card narrow" data-testid="sign-in">
    <h1>${session.setup_needed ? 'Set up this cloud' : linked ? 'Choose your password' : 'Sign in'}</h1>
    ${linked ? html`<${WithLink} code=${code} session=${session} onDone=${onDone} />` : html`<${WithPassword} session=${session} onDone=${onDone} />`}
    ${!session.setup_needed && html`<button class="quiet" data-testid="other-way" onClick=${() => setLinked(!linked)}>
      ${linked ? 'I have a password' : 'I have been given a link'}</button>`}
  </section>`;
}

/** @param {{session: any, onDone: () => void}} props */
function WithPassword({session, onDone}) {
  const send = async (/** @type {any} */ v) => {
    await api('POST', '/v1/signin', {name: v.name, password: v.password});
    onDone();
  };
  return html`<${Form} onSubmit=${send} submit="Sign in" id="sign-in-form">
      <${Field} label="Name" name="name" required=${true} autocomplete="username" autocapitalize="none" spellcheck=${false} />
      <${Field} label="Password" name="password" type="password" required=${true} autocomplete="current-password" />
    <//>
    ${session.oidc && html`<p><a class="button" href="/v1/signin/oidc" data-testid="oidc">Sign in with your company's account</a></p>`}`;
}

/** @param {{session: any, code?: string, onDone: () => void}} props */
function WithLink({session, code, onDone}) {
  const send = async (/** @type {any} */ v) => {
    await api('POST', '/v1/signin/link', {code: codeOf(v.code ?? code), name: v.name, password: v.password});
    onDone();
  };
  return html`
    ${session.setup_needed && !code && html`<${Notice} kind="info">Nobody looks after this cloud yet. Its log shows a link, which works once: open it, or paste it here.<//>`}
    <${Form} onSubmit=${send} submit="Come in" id="link-form">
      ${!code && html`<${Field} label="Link or code" name="code" required=${true} spellcheck=${false} />`}
      <${Field} label="Name" name="name" autocomplete="username" autocapitalize="none" spellcheck=${false} hint="You sign in with it. A link that was made for you has your name already." />
      <${Field} label="Password" name="password" type="password" required=${true} minlength="10" autocomplete="new-password" hint="At least 10 characters. A few words are easier to keep than signs." />
    <//>`;
}
