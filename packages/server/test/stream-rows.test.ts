import type { StreamRecord } from '@caegis/ssf/transmitter'
import { expect, it } from 'vitest'
import { createStreamRows } from '../src/signals/stream-rows.ts'
import { createSecrets } from '../src/store/secrets.ts'

it('remember what was unpacked last, and no more than that: other servers delete streams and do not say so', () => {
  const secrets = createSecrets('x'.repeat(32))
  const opened: string[] = []
  const rows = createStreamRows(
    {
      ...secrets,
      open(context, sealed) {
        opened.push(context)
        return secrets.open(context, sealed)
      },
    },
    't',
    2,
  )
  const row = (id: string) => {
    const delivery = { method: 'urn:ietf:rfc:8935', endpointUrl: 'https://a.test', authorizationHeader: `Bearer ${id}` }
    return { id, ...rows.pack({ id, delivery, acked: 7, ackedAhead: [] } as unknown as StreamRecord) }
  }
  const [one, two, three] = ['one', 'two', 'three'].map(row) as [ReturnType<typeof row>, ReturnType<typeof row>, ReturnType<typeof row>]
  expect(one.config).not.toContain('Bearer')
  expect(rows.unpack(one)).toMatchObject({ id: 'one', acked: 7, delivery: { authorizationHeader: 'Bearer one' } })
  const unpack = (...some: (typeof one)[]) => {
    opened.length = 0
    for (const each of some) rows.unpack(each)
    return opened.map((context) => context.split(':').at(-1))
  }
  expect(unpack(one, two, one)).toEqual(['two'])
  // The one that was not used for longest is unpacked again.
  expect(unpack(three, one, two)).toEqual(['three', 'two'])
  rows.forget('two')
  expect(unpack(two, one)).toEqual(['two'])
  expect(unpack({ ...one, ...rows.pack({ ...rows.unpack(one), description: 'other' }) })).toEqual(['one'])
})
