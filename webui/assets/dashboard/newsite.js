import {html, useState} from '../vendor/preact-htm.js';
import {api} from '../common/api.js';
import {fromNow} from '../common/format.js';
import {Copy, Dialog, Field, Form, Notice} from '../common/ui.js';

/** Makes a site and shows the one command for its box. @param {{onClose: () => void}} props */
export function NewSite({onClose}) {
  const [made, setMade] = useState(/** @type {any} */ (undefined));
  const send = async (/** @type {any} */ v) => setMade(await api('POST', '/v1/sites', {site: v.site, title: v.title}));
  return html`<${Dialog} title=${made ? `Site ${made.site}` : 'New site'} onClose=${onClose} id="new-site-dialog">
    ${made ? html`<${JoinCommand} join=${made} />` : html`<${Form} onSubmit=${send} submit="Make the site" id="new-site-form">
      <${Field} label="Short name" name="site" required=${true} pattern="[a-z0-9]([a-z0-9\\-]*[a-z0-9])?" maxlength="63" spellcheck=${false} autocapitalize="none"
        hint="a-z, 0-9 and -, for addresses and certificates; it stays" />
      <${Field} label="Name" name="title" maxlength="200" hint="What people call it; can be changed" />
    <//>`}
  <//>`;
}

/** A command for one more box of a site. @param {{site: string, onClose: () => void}} props */
export function NewBox({site, onClose}) {
  const [made, setMade] = useState(/** @type {any} */ (undefined));
  const send = async () => setMade(await api('POST', `/v1/sites/${encodeURIComponent(site)}/tokens`, {}));
  return html`<${Dialog} title=${`A box for ${site}`} onClose=${onClose} id="new-box-dialog">
    ${made ? html`<${JoinCommand} join=${made} />` : html`<p>A box joins a site with a command that works once, within a day.</p>
      <${Form} onSubmit=${send} submit="Make the command" id="new-box-form" />`}
  <//>`;
}

/** @param {{join: {command: string, expires: string}}} props */
function JoinCommand({join}) {
  return html`<p>Paste this at the box, as root:</p>
    <pre class="command" data-testid="join-command">${join.command}</pre>
    <div class="row"><${Copy} text=${join.command} label="Copy command" /></div>
    <${Notice} kind="info">It works once and ends ${fromNow(join.expires)}. The box shows up here within seconds.<//>`;
}
