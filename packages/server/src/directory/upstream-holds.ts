import type { ChangeContext } from '../store/change.ts'

type Context = Pick<ChangeContext, 'db' | 'tenant'>

/** The upstreams that keep a user disabled. */
export async function holdersOf({ db, tenant }: Context, user: string): Promise<string[]> {
  const rows = await db.selectFrom('upstream_holds').select('upstream').where('tenant', '=', tenant).where('user_id', '=', user).execute()
  return rows.map(({ upstream }) => upstream)
}

export async function addHold({ db, tenant }: Context, user: string, upstream: string): Promise<void> {
  await db
    .insertInto('upstream_holds')
    .values({ tenant, user_id: user, upstream })
    .onConflict((clash) => clash.doNothing())
    .execute()
}

/** @param upstream only its own; without it, all */
export async function releaseHolds({ db, tenant }: Context, user: string, upstream?: string): Promise<void> {
  let holds = db.deleteFrom('upstream_holds').where('tenant', '=', tenant).where('user_id', '=', user)
  if (upstream !== undefined) holds = holds.where('upstream', '=', upstream)
  await holds.execute()
}
