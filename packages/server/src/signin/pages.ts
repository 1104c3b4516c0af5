import { escapeHtml, page } from '../issuer/pages.ts'
import type { Tenant } from '../issuer/tenant.ts'

export interface SignInPage {
  application: string
  username: string
  /** Proves that the form came from this server's own page. */
  csrf: string
  /** What went wrong with the last try. */
  wrong?: string
}

export function signInPage(tenant: Tenant, { application, username, csrf, wrong }: SignInPage): string {
  return page(
    'Sign in',
    tenant,
    `<h1>Sign in to ${escapeHtml(tenant.displayName)}</h1><p>to go on to ${escapeHtml(application)}</p>${alert(wrong)}<form method="post">${hidden(csrf)}<label for="username">User name</label><input id="username" name="username" autocomplete="username" autocapitalize="none" spellcheck="false" required maxlength="320" value="${escapeHtml(username)}"${
      username ? '' : ' autofocus'
    }><label for="password">Password</label><input id="password" name="password" type="password" autocomplete="current-password" required maxlength="256"${
      username ? ' autofocus' : ''
    }><button>Sign in</button></form>`,
  )
}

function alert(wrong: string | undefined): string {
  return wrong ? `<div class="wrong" role="alert">${escapeHtml(wrong)}</div>` : ''
}

function hidden(csrf: string): string {
  return `<input type="hidden" name="csrf" value="${escapeHtml(csrf)}">`
}
