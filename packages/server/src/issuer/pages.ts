import { createHash } from 'node:crypto'
import type { KoaContextWithOIDC } from 'oidc-provider'
import type { Tenant } from './tenant.ts'

/** Every page is plain HTML that works without JavaScript; the one style sheet is inline and allowed by its hash. */
const STYLE = `:root{color-scheme:light dark}*{box-sizing:border-box}body{margin:0;min-height:100vh;display:grid;place-items:center;font:16px/1.5 system-ui,sans-serif;background:light-dark(#f3f5f8,#14171c);color:light-dark(#1b2330,#e6e9ee)}main{width:min(24rem,100vw - 2rem);padding:2rem;border-radius:12px;background:light-dark(#fff,#1d2129);box-shadow:0 1px 3px rgb(0 0 0/.15),0 8px 30px rgb(0 0 0/.08)}h1{font-size:1.25rem;margin:0 0 .25rem}p{margin:.25rem 0 1rem;color:light-dark(#55607a,#a3adbd)}p:last-child{margin-bottom:0}label{display:block;margin:1rem 0 .25rem;font-weight:600}input{width:100%;padding:.6rem .7rem;font:inherit;border:1px solid light-dark(#b8c1d1,#485063);border-radius:8px;background:light-dark(#fff,#14171c);color:inherit}input:focus,button:focus{outline:3px solid light-dark(#9cc2ff,#2f5fae);outline-offset:1px}button{width:100%;margin-top:1.5rem;padding:.65rem;font:inherit;font-weight:600;border:0;border-radius:8px;background:#1d5fd1;color:#fff;cursor:pointer}button.quiet{background:none;color:inherit;border:1px solid light-dark(#b8c1d1,#485063);margin-top:.75rem}.wrong{padding:.6rem .8rem;border-radius:8px;background:light-dark(#fdecea,#4a1f1f);color:light-dark(#8c1d18,#ffd9d6)}.key{font-family:ui-monospace,monospace;overflow-wrap:anywhere}h2{font-size:1rem;margin:1.5rem 0 0}details{margin:-.5rem 0 1.25rem}summary{cursor:pointer}.codes{columns:2;padding:0;list-style:none;font:1rem/2 ui-monospace,monospace}svg{display:block;width:100%;max-width:14rem;margin:0 auto;border-radius:8px}a{color:light-dark(#1d5fd1,#9cc2ff)}.code{font:600 1.5rem/1.4 ui-monospace,monospace;letter-spacing:.1em}`
const STYLE_HASH = `'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`

/**
 * The policy of every HTML answer. `script-src 'self'` is there to be extended by oidc-provider, which adds the hash of the one script that it posts a form with.
 * Browsers apply `form-action` to where a form's answer redirects too, so the application that waits at the end of a sign-in is named.
 */
export function cspFor(formTargets: readonly string[]): string {
  const targets = formTargets.length > 0 ? formTargets.join(' ') : 'https: http://localhost:* http://127.0.0.1:*'
  return `default-src 'none'; style-src ${STYLE_HASH}; script-src 'self'; form-action 'self' ${targets}; frame-ancestors 'none'; base-uri 'none'`
}

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (unit) => `&#${unit.charCodeAt(0)};`)
}

/** The frame of every page; `content` is markup, made of escaped parts. */
export function page(title: string, { displayName }: { displayName: string }, content: string): string {
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>${escapeHtml(title)} · ${escapeHtml(displayName)}</title><style>${STYLE}</style></head><body><main>${content}</main></body></html>`
}

/** What stands at the origin itself: somebody who came to accept the certificate sees that it worked. */
export function welcomePage(origin: string): string {
  return page(
    'CAEgis',
    { displayName: origin },
    '<h1>CAEgis is running</h1><p>Your browser reached the server. You can close this page and go on to your application.</p>',
  )
}

export function messagePage(tenant: Pick<Tenant, 'displayName'>, title: string, text: string): string {
  return page(title, tenant, `<h1>${escapeHtml(title)}</h1><p>${escapeHtml(text)}</p>`)
}

export function renderMessage(ctx: KoaContextWithOIDC, tenant: Tenant, title: string, text: string): void {
  ctx.type = 'html'
  ctx.body = messagePage(tenant, title, text)
}

export function renderSignOut(ctx: KoaContextWithOIDC, tenant: Tenant): void {
  const action = ctx.oidc.urlFor('end_session_confirm')
  const secret = (ctx.oidc.session?.state as { secret: string } | undefined)?.secret ?? ''
  ctx.body = page(
    'Sign out',
    tenant,
    `<h1>Sign out of ${escapeHtml(tenant.displayName)}?</h1><form method="post" action="${escapeHtml(action)}"><input type="hidden" name="xsrf" value="${escapeHtml(secret)}"><button name="logout" value="yes">Sign out</button><button class="quiet">Stay signed in</button></form>`,
  )
}

export const UNKNOWN_CODE = 'The code is unknown, was used or has expired. Try again.'

export function renderDeviceInput(ctx: KoaContextWithOIDC, tenant: Tenant, code: string | undefined, wrong: boolean): void {
  const action = ctx.oidc.urlFor('code_verification')
  const secret = (ctx.oidc.session?.state as { secret: string } | undefined)?.secret ?? ''
  ctx.type = 'html'
  ctx.body = page(
    'Sign in on a device',
    tenant,
    `<h1>Sign in on a device</h1><p>Enter the code that your device shows. Go on only if you started this yourself.</p>${
      wrong ? `<div class="wrong" role="alert">${UNKNOWN_CODE}</div>` : ''
    }<form method="post" action="${escapeHtml(action)}"><input type="hidden" name="xsrf" value="${escapeHtml(secret)}"><label for="code">Code</label><input id="code" class="code" name="user_code" autocomplete="off" autocapitalize="characters" spellcheck="false" required maxlength="32" value="${escapeHtml(code ?? '')}" autofocus><button>Continue</button></form>`,
  )
}

export function renderDeviceConfirm(ctx: KoaContextWithOIDC, tenant: Tenant, application: string, code: string): void {
  const action = ctx.oidc.urlFor('code_verification')
  const secret = (ctx.oidc.session?.state as { secret: string } | undefined)?.secret ?? ''
  ctx.type = 'html'
  ctx.body = page(
    'Confirm the device',
    tenant,
    `<h1>Let ${escapeHtml(application)} sign in?</h1><p>Go on only if your device shows this code.</p><div class="code">${escapeHtml(code)}</div><form method="post" action="${escapeHtml(action)}"><input type="hidden" name="xsrf" value="${escapeHtml(secret)}"><input type="hidden" name="user_code" value="${escapeHtml(code)}"><button name="confirm" value="yes">Yes, sign in</button><button class="quiet" name="abort" value="yes">Cancel</button></form>`,
  )
}
