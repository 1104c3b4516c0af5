import { fingerprint } from '@caegis/policy'
import { OPEN } from '../packages/server/src/access/admission.ts'
import { writeSignals } from '../packages/server/src/access/second-look.ts'
import type { Rows } from './rows-of.ts'

export interface LivingRows {
  sessions: number
  users: number
  /** User `n` is in group `g<n modulo groups>`. */
  groups: number
}

/** Seconds that what they hold lasts. */
const LIFE = 20 * 3600

/**
 * Writes people who are signed in, as so many sign-ins would have left them: sessions `s0`, `s1` ... of users `u0`, `u1` ..., each with a token that was decided without
 * any policy.
 */
export async function seedLiving(run: Rows, tenant: string, { sessions, users, groups }: LivingRows, now: number): Promise<void> {
  const at = now - 60
  const proof = { at, mfa: false, methods: ['password'] }
  const signals = writeSignals(
    { application: 'files-api', contexts: [], address: '203.0.113.7', clientAppType: 'mobileAppsAndDesktopClients', flow: 'none', proof },
    at,
  )
  const numbers = (count: number) => `with recursive n(i) as (select 0 union all select i + 1 from n where i < ${count - 1})`
  const until = at + LIFE
  await run('begin')
  await run(`${numbers(groups)} insert into groups (tenant, id, display_name, created_at) select ?, 'g' || i, 'Group ' || i, ? from n`, tenant, at)
  await run(
    `${numbers(users)} insert into users (tenant, id, upn, upn_key, display_name, enabled, roles, created_at, last_iat, tokens_until)
      select ?, 'u' || i, 'u' || i || '@living.test', 'u' || i || '@living.test', 'User ' || i, 1, '[]', ?, ?, ? from n`,
    ...[tenant, at, at, until],
  )
  await run(`${numbers(users)} insert into members (tenant, group_id, user_id) select ?, 'g' || (i % ${groups}), 'u' || i from n`, tenant)
  await run(
    `${numbers(sessions)} insert into sessions (tenant, id, user_id, auth_time, created_at, last_iat, tokens_until)
      select ?, 's' || i, 'u' || (i % ${users}), ?, ?, ?, ? from n`,
    ...[tenant, at, at, at, until],
  )
  await run(
    `${numbers(sessions)} insert into decisions (tenant, id, user_id, sid, app_id, resource, capable, version, tokens_until, outcome, fingerprint, signals)
      select ?, 'd' || i, 'u' || (i % ${users}), 's' || i, 'files-native', 'api://files', 1, (select policies_version from tenants where id = ?), ?, 'allow', ?, ? from n`,
    ...[tenant, tenant, until, fingerprint(OPEN), signals],
  )
  await run('update tenants set last_iat = ? where id = ? and last_iat < ?', at, tenant, at)
  await run('update tenants set tokens_until = ? where id = ? and tokens_until < ?', until, tenant, until)
  await run('commit')
}
