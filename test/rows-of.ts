import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import pg from 'pg'
import { storeBeside } from './process.ts'

/** PostgreSQL's `bigint`, which counts and instants are. */
const INT8 = 20

export type Rows = <T>(text: string, ...values: (string | number)[]) => Promise<T[]>

/**
 * Asks the database of a data folder from beside the server, which may be dead. Values stand in the text as `?`.
 * @param readOnly leaves what a killed server has left as it is
 */
export async function withRows<T>(data: string, work: (rows: Rows) => Promise<T>, { readOnly = true } = {}): Promise<T> {
  const { DATABASE_URL } = storeBeside(data)
  if (DATABASE_URL === undefined) {
    const db = new DatabaseSync(join(data, 'caegis.db'), { readOnly })
    try {
      return await work(async <R>(text: string, ...values: (string | number)[]) => db.prepare(text).all(...values) as R[])
    } finally {
      db.close()
    }
  }
  const client = new pg.Client({ connectionString: DATABASE_URL })
  client.setTypeParser(INT8, Number)
  await client.connect()
  try {
    return await work(async <R>(text: string, ...values: (string | number)[]) => {
      let count = 0
      const { rows } = await client.query(
        text.replaceAll('?', () => `$${++count}`),
        values,
      )
      return rows as R[]
    })
  } finally {
    await client.end()
  }
}
