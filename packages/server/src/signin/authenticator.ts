import { Secret, TOTP } from 'otpauth'
import { renderSVG } from 'uqr'
import { z } from 'zod'
import { html } from '../issuer/answer.ts'
import type { IssuerAnswer } from '../issuer/issuer.ts'
import type { Tenant } from '../issuer/tenant.ts'
import type { Secrets } from '../store/secrets.ts'
import type { Store } from '../store/store.ts'
import { normalize, stepOf } from './code.ts'
import { setupPage } from './pages.ts'

const TTL = 600
const schema = z.strictObject({ secret: z.string(), until: z.number() })

/** Who sets up an app, and why, where they did not ask for it themselves. */
export interface WhoSetsUp {
  user: string
  username: string
  csrf: string
  why?: string
}

/** Setting up an authenticator app: a key is offered, and a code proves that the app has it. Between both it travels sealed, for one user. */
export function createAuthenticatorSetup(store: Store, secrets: Secrets) {
  const context = ({ id: tenant }: Tenant, user: string) => `setup:${tenant}:${user}`

  function show(tenant: Tenant, { user, username, csrf, why }: WhoSetsUp, secret: string, wrong?: string): IssuerAnswer {
    const sealed = secrets.seal(context(tenant, user), { secret, until: Math.floor(store.clock()) + TTL })
    const uri = new TOTP({ secret: Secret.fromBase32(secret), issuer: tenant.displayName, label: username }).toString()
    const setup = Buffer.from(sealed).toString('base64url')
    const said = { ...(why === undefined ? {} : { why }), ...(wrong === undefined ? {} : { wrong }) }
    const content = { csrf, setup, secret, svg: renderSVG(uri, { ecc: 'M', border: 2 }), ...said }
    return html(wrong === undefined ? 200 : 401, setupPage(tenant, content))
  }

  return {
    offer: (tenant: Tenant, who: WhoSetsUp): IssuerAnswer => show(tenant, who, new Secret({ size: 20 }).base32),

    /** @returns the proved key and the step of its code; what to answer instead; or nothing, when the page was open for too long */
    prove(tenant: Tenant, who: WhoSetsUp, form: URLSearchParams): { secret: string; from: number } | { answer: IssuerAnswer } | undefined {
      let secret: string
      try {
        const opened = schema.parse(secrets.open(context(tenant, who.user), Buffer.from(form.get('setup') ?? '', 'base64url')))
        if (opened.until <= store.clock()) return undefined
        secret = opened.secret
      } catch {
        return undefined
      }
      const from = stepOf(secret, normalize(form.get('code') ?? ''), store.clock())
      return from === undefined ? { answer: show(tenant, who, secret, 'The code is wrong. Look at the app again.') } : { secret, from }
    },
  }
}
