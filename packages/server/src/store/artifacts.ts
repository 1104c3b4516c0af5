import type { Kysely, Transaction } from 'kysely'
import type { Schema } from './schema.ts'
import type { Secrets } from './secrets.ts'

/** Something the OpenID provider keeps: a code, a refresh token, a browser session, a half-done sign-in, a grant. */
export interface Artifact {
  model: string
  /** What its holder presents; stored as a keyed digest only. */
  id: string
  payload: Record<string, unknown>
  /** Seconds. */
  expiresAt: number
}

export interface FoundArtifact extends Artifact {
  version: number
}

type Db = Kysely<Schema> | Transaction<Schema>

/** Reads and writes the artifacts of one tenant. Versions move with every write, so that two requests that read the same one cannot both act on it. */
export function createArtifacts(tenant: string, secrets: Secrets) {
  const key = (model: string, id: string) => secrets.digest(`artifact:${tenant}:${model}`, id)
  const context = (model: string, digest: string) => `artifact:${tenant}:${model}:${digest}`

  async function read(
    db: Db,
    where: { column: 'id' | 'uid' | 'user_code'; value: string },
    model: string,
    now: number,
  ): Promise<FoundArtifact | undefined> {
    const row = await db
      .selectFrom('artifacts')
      .select(['id', 'sealed', 'expires_at', 'version'])
      .where('tenant', '=', tenant)
      .where('model', '=', model)
      .where(where.column, '=', where.value)
      .where('expires_at', '>', now)
      .executeTakeFirst()
    if (!row) return undefined
    return { ...unseal(model, row), model, expiresAt: row.expires_at, version: row.version }
  }

  const unseal = (model: string, { id, sealed }: { id: string; sealed: Uint8Array }) =>
    secrets.open(context(model, id), sealed) as { id: string; payload: Record<string, unknown> }

  return {
    find: (db: Db, model: string, id: string, now: number) => read(db, { column: 'id', value: key(model, id) }, model, now),
    findByUid: (db: Db, model: string, uid: string, now: number) =>
      read(db, { column: 'uid', value: secrets.digest(`uid:${tenant}`, uid) }, model, now),
    findByUserCode: (db: Db, model: string, code: string, now: number) =>
      read(db, { column: 'user_code', value: secrets.digest(`code:${tenant}`, code) }, model, now),
    /** Everything that was issued under one grant, and the grant itself. */
    async ofGrant(db: Db, grantId: string, now: number): Promise<FoundArtifact[]> {
      const rows = await db
        .selectFrom('artifacts')
        .select(['model', 'id', 'sealed', 'expires_at', 'version'])
        .where('tenant', '=', tenant)
        .where('grant_id', '=', secrets.digest(`grant:${tenant}`, grantId))
        .where('expires_at', '>', now)
        .execute()
      return rows.map((row) => ({ ...unseal(row.model, row), model: row.model, expiresAt: row.expires_at, version: row.version }))
    },
    /** Where a row is: its model and its key, with a line feed between them. */
    place: (model: string, id: string) => `${model}\n${key(model, id)}`,
    /** No two of them are the same. */
    async write(db: Db, artifacts: readonly Artifact[]): Promise<void> {
      if (artifacts.length === 0) return
      const text = (value: unknown, name: string) => (typeof value === 'string' ? secrets.digest(`${name}:${tenant}`, value) : null)
      const rows = artifacts.map(({ model, id, payload, expiresAt }) => {
        const digest = key(model, id)
        return {
          ...{ tenant, model, id: digest, version: 1, expires_at: expiresAt },
          sealed: secrets.seal(context(model, digest), { id, payload }),
          grant_id: model === 'Grant' ? text(id, 'grant') : text(payload.grantId, 'grant'),
          uid: text(payload.uid, 'uid'),
          user_code: text(payload.userCode, 'code'),
        }
      })
      const columns = ['sealed', 'grant_id', 'uid', 'user_code', 'expires_at'] as const
      await db
        .insertInto('artifacts')
        .values(rows)
        .onConflict((conflict) =>
          conflict.columns(['tenant', 'model', 'id']).doUpdateSet((eb) => ({
            ...(Object.fromEntries(columns.map((column) => [column, eb.ref(`excluded.${column}`)])) as object),
            version: eb('artifacts.version', '+', 1),
          })),
        )
        .execute()
    },
    async remove(db: Db, model: string, id: string): Promise<void> {
      await db.deleteFrom('artifacts').where('tenant', '=', tenant).where('model', '=', model).where('id', '=', key(model, id)).execute()
    },
    /** Everything that was issued under one grant. */
    async removeGrant(db: Db, grantId: string): Promise<void> {
      await db
        .deleteFrom('artifacts')
        .where('tenant', '=', tenant)
        .where('grant_id', '=', secrets.digest(`grant:${tenant}`, grantId))
        .execute()
    },
  }
}

export type Artifacts = ReturnType<typeof createArtifacts>
