import type { ComplexSubject, SimpleSubject, Subject } from '@caegis/protocol'

/** Whose facts the transmitter may state. Without it: subjects of its own issuer, and never a whole tenant or application. */
export interface ReceiverTrust {
  /** `iss` (or SAML issuer) values that its subjects may carry; `'any'` where the transmitter is believed about everybody. Default: its own issuer. */
  issuers?: readonly string[] | 'any'
  /** Domains of e-mail and `acct:` subjects; default: any. */
  domains?: readonly string[]
  /** Whether a subject may be nothing but a tenant, or nothing but an application. Default: neither. */
  wide?: readonly ('tenant' | 'application')[]
}

const NARROWING = ['user', 'session', 'device']

/** A function that says what is wrong with a subject; undefined when the transmitter may speak about it. */
export function createTrust(trust: ReceiverTrust, transmitter: string): (subject: Subject) => string | undefined {
  const issuers = trust.issuers === 'any' ? undefined : new Set(trust.issuers ?? [transmitter])
  const domains = trust.domains && new Set(trust.domains.map((one) => one.toLowerCase()))
  const wide = new Set<string>(trust.wide ?? [])

  const ofSimple = (subject: SimpleSubject): string | undefined => {
    switch (subject.format) {
      case 'iss_sub':
      case 'jwt_id':
        return !issuers || issuers.has(subject.iss) ? undefined : 'another issuer'
      case 'saml_assertion_id':
        return !issuers || issuers.has(subject.issuer) ? undefined : 'another issuer'
      case 'email':
      case 'account': {
        const address = subject.format === 'email' ? subject.email : subject.uri
        return !domains || domains.has(address.slice(address.lastIndexOf('@') + 1).toLowerCase()) ? undefined : 'another domain'
      }
      // Every name counts: nobody knows which one a handler will look at.
      case 'aliases':
        return subject.identifiers.map(ofSimple).find((wrong) => wrong !== undefined)
      default:
        return undefined
    }
  }
  return (subject) => {
    if (subject.format !== 'complex') return ofSimple(subject as SimpleSubject)
    const { format: _, ...members } = subject as ComplexSubject
    for (const member of Object.values(members)) {
      const wrong = ofSimple(member as SimpleSubject)
      if (wrong) return wrong
    }
    if (NARROWING.some((name) => name in members)) return undefined
    if ('application' in members) return wide.has('application') ? undefined : 'a whole application'
    if ('tenant' in members) return wide.has('tenant') ? undefined : 'a whole tenant'
    return undefined
  }
}
