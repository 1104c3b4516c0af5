import type { StreamProgress, StreamRecord } from '@caegis/ssf/transmitter'
import type { Secrets } from '../store/secrets.ts'

/** Streams of one tenant as they lie in the database: what a receiver configured and how far it has come move at different paces, so they are stored apart. */
export interface StreamRows {
  pack(stream: StreamRecord): { config: string; progress: string }
  unpack(row: { id: string; config: string; progress: string }): StreamRecord
  forget(id: string): void
}

type Config = Omit<StreamRecord, keyof StreamProgress>

/** Configurations that are remembered: as many as a process holds polls. Other servers delete streams too, and do not say so. */
const REMEMBERED = 20_000

export function createStreamRows(secrets: Pick<Secrets, 'seal' | 'open'>, tenant: string, most = REMEMBERED): StreamRows {
  /** By stream, used longest ago first. Read at every poll, and hardly ever another one. */
  const remembered = new Map<string, { text: string; config: Config }>()
  const contextOf = (id: string) => `stream:${tenant}:${id}`

  /** What a receiver wants to see in pushes is its secret: it lies sealed, and nobody reads it back. */
  function seal(id: string, { authorizationHeader, ...delivery }: StreamRecord['delivery']): object {
    if (authorizationHeader === undefined) return delivery
    return { ...delivery, sealed: Buffer.from(secrets.seal(contextOf(id), authorizationHeader)).toString('base64') }
  }

  function read(id: string, text: string): Config {
    const config = JSON.parse(text)
    const { sealed, ...delivery } = config.delivery as StreamRecord['delivery'] & { sealed?: string }
    if (sealed !== undefined) delivery.authorizationHeader = secrets.open(contextOf(id), Buffer.from(sealed, 'base64')) as string
    return { ...config, delivery }
  }

  return {
    pack({ acked, ackedAhead, applied, hydrated, seenAt, verifiedAt, confirmedAt, ...config }) {
      return {
        config: JSON.stringify({ ...config, delivery: seal(config.id, config.delivery) }),
        progress: JSON.stringify({ acked, ackedAhead, applied, hydrated, seenAt, verifiedAt, confirmedAt }),
      }
    },
    unpack({ id, config: text, progress }) {
      let known = remembered.get(id)
      if (known?.text !== text) known = { text, config: read(id, text) }
      remembered.delete(id)
      remembered.set(id, known)
      if (remembered.size > most) remembered.delete(remembered.keys().next().value as string)
      return { ...known.config, ...JSON.parse(progress) }
    },
    forget: (id) => void remembered.delete(id),
  }
}
