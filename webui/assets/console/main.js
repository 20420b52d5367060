import {html, render, useCallback, useEffect, useState} from '../vendor/preact-htm.js';
import {api, takeFragment} from '../common/api.js';
import {duration} from '../common/format.js';
import {Badge, Header, Notice} from '../common/ui.js';
import {Invites} from './invites.js';
import {follow} from './live.js';
import {Relay} from './relay.js';
import {Rooms} from './rooms.js';
import {SignIn} from './signin.js';
import {Health, Overview, Parts} from './state.js';

/** The sign-in is renewed this long before it ends. */
const RENEW_BEFORE_MS = 3_600_000;

const given = takeFragment();

function App() {
  const [session, setSession] = useState(/** @type {any} */ (undefined));
  const [status, setStatus] = useState(/** @type {any} */ (undefined));
  const [link, setLink] = useState('lost');

  const look = useCallback(async () => {
    try {
      const [who, summary] = [await api('GET', '/v1/session'), await api('GET', '/v1/status')];
      setStatus(summary);
      setSession(who);
    } catch {
      setTimeout(look, 3000); // the box is starting, or this device is on its way back to the network
    }
  }, []);
  useEffect(() => { look(); }, []);

  const admin = session?.signed_in && session.rights?.includes('admin');
  useEffect(() => {
    if (!admin) return undefined;
    return follow({status: setStatus, link: setLink, signedOut: look});
  }, [admin]);

  // A page that stays open stays signed in.
  useEffect(() => {
    if (!admin || !session.expires) return undefined;
    const timer = setInterval(async () => {
      if (Date.parse(session.expires) - Date.now() < RENEW_BEFORE_MS) await api('POST', '/v1/tokens/renew').then(look).catch(() => {});
    }, 60_000);
    return () => clearInterval(timer);
  }, [admin, session?.expires]);

  const signOut = async () => {
    await api('POST', '/v1/logout').catch(() => {});
    setStatus(undefined);
    look();
  };
  useEffect(() => {
    document.title = status ? `${status.site || 'Signalbox'} · Console` : 'Signalbox console';
  }, [status?.site]);

  return html`<${Header} title=${status?.site ?? ''} at="console">
      ${admin && html`<${Link} how=${link} /><button class="quiet" data-testid="sign-out" onClick=${signOut}>Sign out</button>`}
    <//>
    <main id="main" data-testid="console" data-link=${admin ? link : 'out'}>
      ${!session && html`<${Notice} kind="info">Asking the box…<//>`}
      ${session && !admin && html`<${SignIn} summary=${status} code=${given.setup} session=${session} onDone=${look} />`}
      ${admin && status?.parts && html`<${Console} status=${status} />`}
    </main>
    <footer class="muted">${status && html`Signalbox ${status.version} · box ${status.id}${status.uptime_s !== undefined && ` · up ${duration(status.uptime_s)}`}`}</footer>`;
}

/** @param {{how: string}} props */
function Link({how}) {
  if (how === 'live') return html`<${Badge} kind="good" id="link">Live<//>`;
  if (how === 'asking') return html`<${Badge} kind="warn" id="link">Every 5 s<//>`;
  return html`<${Badge} kind="bad" id="link">Box not reached<//>`;
}

/** @param {{status: any}} props */
function Console({status}) {
  return html`<h1 class="offscreen">State of the box</h1>
    <${Health} status=${status} />
    <${Overview} status=${status} />
    <${Rooms} status=${status} />
    <${Invites} status=${status} />
    <${Relay} status=${status} />
    <${Parts} status=${status} />`;
}

render(html`<${App} />`, /** @type {Element} */ (document.getElementById('app')));
