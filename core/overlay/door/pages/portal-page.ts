import { doorPaths } from '../door-paths.ts';
import { type Html, html } from './html.ts';
import { type RenderedPage, renderPage } from './layout.ts';

export interface PortalFacts {
  accessPoint: string;
  /** Who it is, or null for somebody who has to be admitted first. */
  person: { name: string; until: number; visitor: boolean } | null;
  /** What they may reach here. */
  services: readonly string[];
  /** What this origin shows now. */
  chosen: string | null;
  /** The service whose own host name this origin is, or null where it is the access point's address. */
  own: string | null;
  /** Ways to be admitted. */
  methods: readonly ('human-test' | 'password')[];
}

/** What the door shows of itself: who one is, what one may reach, and how one is admitted. */
export function portalPage(facts: PortalFacts): RenderedPage {
  const { person } = facts;
  return renderPage({
    status: 200,
    title: person ? 'Where to?' : 'Who goes there?',
    body: person ? admitted(facts, person) : stranger(facts),
  });
}

function admitted(facts: PortalFacts, person: NonNullable<PortalFacts['person']>): Html {
  const until = new Date(person.until).toISOString();
  return html`<section aria-labelledby="services">
<h2 id="services">Services</h2>
${facts.services.length > 0 ? html`<ul>${facts.services.map((service) => serviceRow(service, facts))}</ul>` : html`<p>There is none that you may reach. Ask the administrator for a certificate that names one.</p>`}
</section>
<section aria-labelledby="you">
<h2 id="you">You</h2>
<p class="mark good">You are ${person.name}, admitted until <time datetime="${until}">${until.replace('T', ' ').slice(0, 16)} UTC</time>${person.visitor ? ', at this access point and from your present address' : null}.</p>
${person.visitor ? html`<form class="inline" method="post" action="${doorPaths.leave}"><button class="plain">Leave</button></form>` : null}
</section>
<section aria-labelledby="forwarder">
<h2 id="forwarder">The forwarder</h2>
<p>A small program for your machine that lets every other program reach these services, stays connected while they move, and uses them directly while they are at home.</p>
<form method="post" action="${doorPaths.forwarder}"><button class="plain">Get the forwarder</button></form>
</section>`;
}

function serviceRow(service: string, { chosen, own }: PortalFacts): Html {
  if (service === own) return html`<li><span>${service}</span><a class="button" href="/">Open</a></li>`;
  if (own !== null)
    return html`<li><span>${service}</span><span class="second">under its own name</span></li>`;
  return html`<li><span>${service}${service === chosen ? html` <span class="second">(shown now)</span>` : null}</span>
<form class="inline" method="post" action="${doorPaths.open}"><input type="hidden" name="service" value="${service}"><button>Open<span class="visually-hidden"> ${service}</span></button></form></li>`;
}

function stranger({ methods, accessPoint }: PortalFacts): Html {
  return html`<section>
<p>This is the access point ${accessPoint}. Protected services are behind it.</p>
<p>Your browser has shown no certificate. If you hold one, import its PKCS#12 file into your browser and load this page again.</p>
${methods.includes('human-test') ? html`<p>Without one you can show that you are a person, and come in for a while.</p><p><a class="button" href="${doorPaths.humanTest}">Take the test</a></p>` : null}
${methods.includes('password') ? html`<p><a class="button plain" href="${doorPaths.password}">Enter with a password</a></p>` : null}
</section>`;
}
