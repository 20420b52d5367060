import {html, render, useCallback, useEffect, useState} from '../vendor/preact-htm.js';
import {api, takeFragment} from '../common/api.js';
import {Badge, Notice} from '../common/ui.js';
import {watchSites} from './live.js';
import {Audit, People} from './people.js';
import {Problems} from './problems.js';
import {follow, siteOf, useAddress} from './router.js';
import {SignIn} from './signin.js';
import {SitePage} from './site.js';
import {Sites} from './sites.js';
import {Webhooks} from './webhooks.js';

const given = takeFragment();

function App() {
  const [session, setSession] = useState(/** @type {any} */ (undefined));
  const [overview, setOverview] = useState(/** @type {any} */ (undefined));
  const [link, setLink] = useState('lost');
  const {path} = useAddress();

  const look = useCallback(async () => {
    try {
      setSession(await api('GET', '/v1/session'));
    } catch {
      setTimeout(look, 3000); // the node is starting, or another one will answer
    }
  }, []);
  useEffect(() => { look(); }, []);
  useEffect(() => {
    if (!session?.signed_in) return undefined;
    return watchSites({overview: setOverview, link: setLink, signedOut: look});
  }, [session?.signed_in]);
  useEffect(() => {
    const red = overview?.totals.red;
    document.title = `${red ? `(${red}) ` : ''}${path.startsWith('/site/') ? `${siteOf(path)} · ` : ''}Signalbox sites`;
  }, [overview?.totals.red, path]);

  const signOut = async () => {
    await api('POST', '/v1/signout').catch(() => {});
    setOverview(undefined);
    look();
  };
  const inside = session?.signed_in;
  return html`<div class="whole" onClick=${follow}>
    <header class="bar">
      <a class="brand" href="/" aria-label="Signalbox, all sites"><span class="mark" aria-hidden="true"></span>Signalbox</a>
      <span class="site" data-testid="who">${inside ? `${session.name} · ${session.role}` : ''}</span>
      ${inside && html`<nav aria-label="Pages">
        <${Tab} to="/" path=${path} also="/site/">Sites<//>
        <${Tab} to="/problems" path=${path}>Problems${overview?.problems ? ` (${overview.problems})` : ''}<//>
        ${session.role === 'administrator' && html`<${Tab} to="/people" path=${path}>People<//><${Tab} to="/webhooks" path=${path}>Webhooks<//>`}
        <${Tab} to="/audit" path=${path}>Log<//>
      </nav>
      <${Link} how=${link} /><button class="quiet" data-testid="sign-out" onClick=${signOut}>Sign out</button>`}
    </header>
    <main id="main" data-testid="dashboard" data-link=${inside ? link : 'out'} data-seq=${overview?.seq}>
      ${!session && html`<${Notice} kind="info">Asking the cloud…<//>`}
      ${session && !inside && html`<${SignIn} session=${session} code=${given.link} onDone=${look} />`}
      ${inside && html`<${Page} path=${path} session=${session} overview=${overview} />`}
    </main>
    <footer class="muted">${session?.version && `Signalbox ${session.version}`}${session?.node && ` · node ${session.node}`}</footer>
  </div>`;
}

/** @param {{path: string, session: any, overview: any}} props */
function Page({path, session, overview}) {
  if (path.startsWith('/site/')) {
    const site = siteOf(path);
    const row = overview?.sites.find((/** @type {any} */ s) => s.site === site);
    return html`<${SitePage} key=${site} site=${site} row=${row} session=${session} />`;
  }
  if (path === '/problems') return html`<${Problems} session=${session} version=${overview?.now} />`;
  if (path === '/people') return html`<${People} session=${session} />`;
  if (path === '/webhooks') return html`<${Webhooks} />`;
  if (path === '/audit') return html`<${Audit} />`;
  if (!overview) return html`<${Notice} kind="info">Asking for the sites…<//>`;
  return html`<${Sites} overview=${overview} session=${session} />`;
}

/** @param {{to: string, path: string, also?: string, children?: any}} props */
function Tab({to, path, also, children}) {
  const here = path === to || (also && path.startsWith(also));
  return html`<a href=${to} aria-current=${here ? 'page' : undefined}>${children}</a>`;
}

/** @param {{how: string}} props */
function Link({how}) {
  if (how === 'live') return html`<${Badge} kind="good" id="link">Live<//>`;
  if (how === 'asking') return html`<${Badge} kind="warn" id="link">Every 5 s<//>`;
  return html`<${Badge} kind="bad" id="link">Cloud not reached<//>`;
}

render(html`<${App} />`, /** @type {Element} */ (document.getElementById('app')));
