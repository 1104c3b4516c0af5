import { describe, expect, it, vi } from 'vitest'
import type { TokenQuestion } from '../src/index.ts'
import { challenge, guarded, startApi } from './api.ts'
import { setup } from './fake-token.ts'

describe('requests at the same time', () => {
  it('share one token call for the same claims', async () => {
    const waiting: (() => void)[] = []
    // All first answers are held until all have asked.
    await using server = await startApi((seen, response) => {
      if (seen.authorization === 'Bearer good') return void response.end()
      waiting.push(() => challenge(response))
      if (waiting.length === 5) for (const go of waiting) go()
    })
    const arrived: string[] = []
    let open = () => {}
    const gate = new Promise<void>((resolve) => {
      open = resolve
    })
    const token = vi.fn(async ({ claims }: TokenQuestion) => {
      if (!claims) return 'dead'
      await gate
      return 'good'
    })
    const { api } = setup([server.origin], { token, log: { info: (message) => arrived.push(message) === 5 && setTimeout(open) } })
    const answers = await Promise.all(Array.from({ length: 5 }, () => api(server.origin)))
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200])
    expect(token.mock.calls.filter(([{ claims }]) => claims)).toHaveLength(1)
  })

  it('share one token call however many they are, and however late their refusals come', async () => {
    const CALLS = 60
    const late: (() => void)[] = []
    await using server = await startApi((seen, response, count) => {
      if (seen.authorization === 'Bearer good') return void response.end()
      // A third is refused at once; the others once somebody is there with the new token.
      if (count % 3 === 0) challenge(response)
      else late.push(() => challenge(response))
    })
    const everybody = Promise.withResolvers<void>()
    const token = vi.fn(async ({ claims }: TokenQuestion) => {
      if (!claims) return 'dead'
      await everybody.promise
      return 'good'
    })
    const { api } = setup([server.origin], { token })
    const first = Promise.withResolvers<void>()
    const calls = Array.from({ length: CALLS }, () =>
      api(server.origin).then(({ status }) => {
        first.resolve()
        return status
      }),
    )
    await expect.poll(() => server.seen.length).toBe(CALLS)
    everybody.resolve()
    await first.promise
    for (const go of late) go()
    expect(new Set(await Promise.all(calls))).toEqual(new Set([200]))
    expect(late).toHaveLength((CALLS / 3) * 2)
    expect(token.mock.calls.filter(([{ claims }]) => claims)).toHaveLength(1)
    expect(server.seen).toHaveLength(2 * CALLS)
  })

  it('a token of an earlier answer is not used for what was asked since', async () => {
    await using server = await startApi((seen, response) =>
      // The API challenges by the same claims again, later: the first answer has died.
      seen.authorization === `Bearer good-${round}` ? response.end() : challenge(response),
    )
    let round = 1
    let made = 0
    const token = vi.fn(async ({ claims }: TokenQuestion) => (claims ? `good-${++made}` : 'dead'))
    const { api } = setup([server.origin], { token })
    expect((await api(server.origin)).status).toBe(200)
    round = 2
    expect((await api(server.origin)).status).toBe(200)
    expect(made).toBe(2)
  })

  it('a caller who gives up does not wait for a token function that hears nothing', async () => {
    const stop = new AbortController()
    const { api, sent } = setup(['https://api.example'], {
      token: () => {
        setTimeout(() => stop.abort(new Error('enough')))
        return new Promise(() => {})
      },
    })
    await expect(api('https://api.example', { signal: stop.signal })).rejects.toThrow('enough')
    await expect(api('https://api.example', { signal: stop.signal })).rejects.toThrow('enough')
    expect(sent).not.toHaveBeenCalled()
  })

  it('one caller who gives up does not take the others along', async () => {
    await using server = await startApi(guarded)
    const first = new AbortController()
    let heard: AbortSignal | undefined
    let open = (_: string) => {}
    const token = vi.fn(({ claims, signal }: TokenQuestion) => {
      if (!claims) return 'dead'
      heard = signal
      return new Promise<string>((resolve) => {
        open = resolve
      })
    })
    let challenged = 0
    const { api } = setup([server.origin], {
      token,
      log: {
        info: () => {
          if (++challenged === 2) setTimeout(() => first.abort(new Error('enough')))
        },
      },
    })
    const gone = api(server.origin, { signal: first.signal })
    const stays = api(server.origin)
    await expect(gone).rejects.toThrow('enough')
    expect(heard?.aborted).toBe(false)
    open('good')
    expect((await stays).status).toBe(200)
  })

  it('the token call is stopped when the last caller gives up, and a new caller starts a new one', async () => {
    await using server = await startApi(guarded)
    const stop = new AbortController()
    const heard: AbortSignal[] = []
    const { api } = setup([server.origin], {
      token: ({ claims, signal }) => {
        if (!claims) return 'dead'
        heard.push(signal as AbortSignal)
        if (heard.length > 1) return 'good'
        setTimeout(() => stop.abort(new Error('enough')))
        return new Promise(() => {})
      },
    })
    await expect(api(server.origin, { signal: stop.signal })).rejects.toThrow('enough')
    expect(heard[0]?.aborted).toBe(true)
    expect((await api(server.origin)).status).toBe(200)
  })
})
