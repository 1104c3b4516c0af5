import type { FastifyReply } from 'fastify'
import type { Issuer, IssuerAnswer } from './issuer.ts'
import { cspFor, messagePage } from './pages.ts'

/** A page; `formTargets` are the origins that its forms may lead to besides this one. */
export function html(status: number, body: string, formTargets: readonly string[] = []): IssuerAnswer {
  return {
    status,
    body,
    headers: { 'content-type': 'text/html; charset=utf-8', 'content-security-policy': cspFor(formTargets), 'cache-control': 'no-store' },
  }
}

/** Tells when the next try makes sense. */
export function withWait(answer: IssuerAnswer, seconds: number): IssuerAnswer {
  return { ...answer, headers: { ...answer.headers, 'retry-after': String(seconds) } }
}

export function stopped(issuer: Issuer): IssuerAnswer {
  const { displayName } = issuer.tenant
  const text = `An administrator has stopped ${displayName}. Nobody can sign in until it is resumed; signing in again before that does not help.`
  return html(403, messagePage(issuer.tenant, 'Sign-in is stopped', text))
}

export function send(reply: FastifyReply, answer: IssuerAnswer): FastifyReply {
  return reply
    .code(answer.status)
    .headers({ 'referrer-policy': 'no-referrer', 'x-content-type-options': 'nosniff', ...answer.headers })
    .send(answer.body)
}
