import {html, useCallback, useEffect, useState} from '../vendor/preact-htm.js';
import {api} from '../common/api.js';
import {fromNow} from '../common/format.js';
import {Copy, Dialog, Field, Form, QR} from '../common/ui.js';

const HOUR = 3600;

/** @param {{status: any}} props */
export function Invites({status}) {
  const [invites, setInvites] = useState(/** @type {any[] | undefined} */ (undefined));
  const [dialog, setDialog] = useState('');
  const load = useCallback(async () => setInvites((await api('GET', '/v1/invites')).invites), []);
  useEffect(() => {
    load().catch(() => {});
    const timer = setInterval(() => load().catch(() => {}), 10_000);
    return () => clearInterval(timer);
  }, [dialog, status.sessions, status.started]);
  const revoke = async (/** @type {string} */ id) => {
    await api('DELETE', `/v1/invites/${encodeURIComponent(id)}`).catch(() => {});
    await load();
  };
  return html`<section class="card" aria-label="Invites">
    <div class="row spread"><h2>Invites</h2><div class="row">
      <button data-testid="new-admin" onClick=${() => setDialog('admin')}>Invite an administrator</button>
      <button class="primary" data-testid="new-invite" onClick=${() => setDialog('device')}>Invite a device</button></div></div>
    ${invites?.length === 0 && html`<p class="muted">No open invites. An invite is a link with a QR code; whoever opens it gets a token of their own.</p>`}
    ${invites && invites.length > 0 && html`<div class="scroll" tabindex="0" role="region" aria-label="List of invites"><table data-testid="invites">
      <thead><tr><th scope="col">For</th><th scope="col">Rooms</th><th scope="col">Uses left</th><th scope="col">Ends</th><th scope="col"><span class="offscreen">Actions</span></th></tr></thead>
      <tbody>${invites.map((invite) => html`<tr key=${invite.id} data-testid="invite" data-id=${invite.id}>
        <th scope="row">${invite.note || (invite.kind === 'admin' ? 'An administrator' : invite.subject || 'A device')}</th>
        <td>${invite.rooms.join(', ')}</td><td>${invite.uses}</td><td>${fromNow(invite.expires)}</td>
        <td><div class="row end"><button class="danger" aria-label=${`Take back the invite for ${invite.note || invite.subject || invite.kind}`} onClick=${() => revoke(invite.id)}>Take back</button></div></td></tr>`)}
      </tbody></table></div>`}
    ${dialog && html`<${InviteDialog} kind=${dialog} onClose=${() => setDialog('')} />`}
  </section>`;
}

/**
 * Makes an invite and shows it: the only time its code can be seen.
 * @param {{kind?: string, room?: string, onClose: () => void}} props
 */
export function InviteDialog({kind = 'device', room, onClose}) {
  const [made, setMade] = useState(/** @type {any} */ (undefined));
  const create = async (/** @type {any} */ values) => {
    /** @type {any} */
    const body = {kind, note: values.note, ttl_s: Number(values.hours || 24) * HOUR};
    if (kind === 'device') Object.assign(body, {room: values.room, uses: Number(values.uses) || 1});
    setMade(await api('POST', '/v1/invites', body));
  };
  if (made) {
    return html`<${Dialog} title="The invite" onClose=${onClose} id="invite-made">
      <p>Scan this with the other device, or send it the link. It is shown only now, works ${made.uses === 1 ? 'once' : `${made.uses} times`} and ends ${fromNow(made.expires)}.</p>
      <${QR} svg=${made.qr_svg} label=${`QR code of the invite${room ? ` to ${room}` : ''}`} />
      <label class="field"><span>Link</span><input readonly value=${made.url} data-testid="invite-url" /></label>
      <div class="row"><${Copy} text=${made.url} id="copy-invite" /></div><//>`;
  }
  return html`<${Dialog} title=${kind === 'admin' ? 'Invite an administrator' : 'Invite a device'} onClose=${onClose} id="invite-dialog">
    <${Form} onSubmit=${create} submit="Make the invite">
      ${kind === 'device' && html`<${Field} label="Room" name="room" required=${true} defaultValue=${room ?? ''} readonly=${Boolean(room)} maxlength="64" hint="The room the link opens" />
        <${Field} label="How often it may be used" name="uses" type="number" min="1" max="10000" defaultValue="1" />`}
      <${Field} label="Ends after hours" name="hours" type="number" min="1" max="8760" defaultValue="24" />
      <${Field} label="Note" name="note" maxlength="128" hint="For this list only" />
    <//><//>`;
}
