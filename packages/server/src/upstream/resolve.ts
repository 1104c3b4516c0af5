import type { ComplexSubject, SimpleSubject, Subject } from '@caegis/protocol'
import { type Kysely, sql, type Transaction } from 'kysely'
import type { Upstream } from '../directory/upstream.ts'
import type { Schema, UserRow } from '../store/schema.ts'

export interface ResolveOptions {
  db: Kysely<Schema> | Transaction<Schema>
  tenant: string
  /** Ours. */
  issuer: string
  upstream: Pick<Upstream, 'subject' | 'source' | 'domains'>
}

/** `unmapped`: the subject has no form that could name a user. */
export type Resolved = UserRow | 'unknown' | 'ambiguous' | 'refused' | 'unmapped'

/**
 * The one user here that a subject of an upstream names; that it may name it was judged before, but for user names. All members of a complex subject describe one
 * principal, and its session or device is one that nobody here knows: what is left is the user.
 */
export async function resolveSubject(options: ResolveOptions, subject: Subject): Promise<Resolved> {
  const named = subject.format === 'complex' ? (subject as ComplexSubject).user : (subject as SimpleSubject)
  if (!named) return 'unmapped'
  const names = named.format === 'aliases' ? named.identifiers : [named]
  const answers: Resolved[] = []
  for (const name of names) answers.push(await resolveOne(options, name))
  if (answers.includes('refused')) return 'refused'
  if (answers.includes('ambiguous')) return 'ambiguous'
  const users = new Map(answers.filter((one) => typeof one === 'object').map((user) => [user.id, user]))
  // Names of one person that are two people here: whichever is meant, the other is not.
  if (users.size > 1) return 'ambiguous'
  return users.values().next().value ?? (answers.includes('unknown') ? 'unknown' : 'unmapped')
}

async function resolveOne({ db, tenant, issuer, upstream }: ResolveOptions, subject: SimpleSubject): Promise<Resolved> {
  const living = db.selectFrom('users').selectAll().where('tenant', '=', tenant).where('deleted_at', 'is', null)
  const byName = async (name: string) => (await living.where('upn_key', '=', name).executeTakeFirst()) ?? 'unknown'
  switch (subject.format) {
    case 'iss_sub': {
      const { iss, sub } = subject
      if (iss === issuer) return (await living.where('id', '=', sub).executeTakeFirst()) ?? 'unknown'
      if (upstream.subject === 'userPrincipalName') return upstream.domains.includes(domainOf(sub)) ? byName(sub.toLowerCase()) : 'refused'
      return (await living.where('source', '=', upstream.source).where('external_id', '=', sub).executeTakeFirst()) ?? 'unknown'
    }
    case 'email':
    case 'account': {
      const address = (subject.format === 'email' ? subject.email : subject.uri.replace(/^acct:/i, '')).toLowerCase()
      const named = await byName(address)
      if (named !== 'unknown') return named
      const [user, other] = await living.where(sql<string>`lower(mail)`, '=', address).where('mail', 'is not', null).limit(2).execute()
      return other ? 'ambiguous' : (user ?? 'unknown')
    }
    default:
      return 'unmapped'
  }
}

function domainOf(name: string): string {
  return name.slice(name.lastIndexOf('@') + 1).toLowerCase()
}
