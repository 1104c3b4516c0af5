import { setImmediate as immediate } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, it, vi } from 'vitest'
import { boundFetch, type ShowBound } from '../src/index.ts'

const API = 'https://api.example/files?x=1'
const authorization = 'Bearer a-token'

function setup(show: ShowBound) {
  const plain = vi.fn(async (_: RequestInfo | URL) => new Response('plain'))
  const shown = vi.fn(show)
  return { plain, shown, bound: boundFetch(plain, shown) }
}

/** What nobody holds any more is gone. */
async function collected(): Promise<void> {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  for (let i = 0; i < 3; i++) {
    await immediate()
    collect()
  }
}

describe('boundFetch', () => {
  it('takes the token off the request and hands it on with what the caller said', async () => {
    const { bound, shown, plain } = setup(async () => new Response('shown'))
    const stop = new AbortController()
    const said = { redirect: 'error', credentials: 'include', cache: 'no-store', signal: stop.signal } as const
    const answer = await bound(API, { method: 'PUT', body: 'text', headers: { authorization, 'x-trace': '1' }, ...said })
    expect(await answer.text()).toBe('shown')
    const [token, url, method, body, headers, rest] = shown.mock.calls[0] ?? []
    expect([token, String(url), method, new TextDecoder().decode(body), headers?.get('x-trace'), headers?.get('authorization')]).toEqual([
      ...['a-token', API, 'PUT', 'text', '1', null],
    ])
    expect(rest).toEqual({ redirect: 'error', credentials: 'include', cache: 'no-store', signal: expect.any(AbortSignal) })
    expect(rest?.signal.aborted).toBe(false)
    stop.abort(new Error('enough'))
    expect(rest?.signal.reason).toEqual(new Error('enough'))
    await bound(new Request(API, { headers: { authorization }, redirect: 'manual' }))
    expect(shown.mock.calls[1]?.slice(2, 4)).toEqual(['GET', undefined])
    expect(shown.mock.calls[1]?.[5]).toMatchObject({ redirect: 'manual', credentials: 'same-origin', cache: 'default' })
    expect(plain).not.toHaveBeenCalled()
  })

  it('leaves alone what is sent without a token', async () => {
    const { bound, shown, plain } = setup(async () => new Response())
    expect(await (await bound(API, { headers: { authorization: 'Basic x' } })).text()).toBe('plain')
    expect([shown.mock.calls.length, plain.mock.calls.length]).toEqual([0, 1])
  })

  it('an answer that is thrown because of its challenge is one, and any other failure comes out', async () => {
    const challenged = new Response('no', { status: 401 })
    const { bound, shown } = setup(() => Promise.reject(Object.assign(new Error('challenged'), { response: challenged })))
    expect(await bound(API, { headers: { authorization } })).toBe(challenged)
    shown.mockRejectedValueOnce(new TypeError('fetch failed'))
    await expect(bound(API, { headers: { authorization } })).rejects.toThrow('fetch failed')
  })

  it('who gives up leaves at once, and the answer that comes too late is not read', async () => {
    const answer = Promise.withResolvers<Response>()
    const { bound, shown } = setup(() => answer.promise)
    const stop = new AbortController()
    const gone = bound(API, { headers: { authorization }, signal: stop.signal })
    await expect.poll(() => shown.mock.calls.length).toBe(1)
    stop.abort(new Error('enough'))
    await expect(gone).rejects.toThrow('enough')
    const cancelled = vi.fn()
    answer.resolve(new Response(new ReadableStream({ cancel: cancelled })))
    await expect.poll(() => cancelled.mock.calls.length).toBe(1)
    await expect(bound(API, { headers: { authorization }, signal: stop.signal })).rejects.toThrow('enough')
    expect(shown).toHaveBeenCalledTimes(1)
  })

  it('a failure that comes too late is nobody`s', async () => {
    const answer = Promise.withResolvers<Response>()
    const { bound, shown } = setup(() => answer.promise)
    const stop = new AbortController()
    const gone = bound(API, { headers: { authorization }, signal: stop.signal })
    await expect.poll(() => shown.mock.calls.length).toBe(1)
    stop.abort(new Error('enough'))
    await expect(gone).rejects.toThrow('enough')
    answer.reject(new Error('too late'))
    await immediate()
  })

  it('hears of it after everything that nobody holds has been collected', async () => {
    const answer = Promise.withResolvers<Response>()
    const { bound, shown } = setup(() => answer.promise)
    const stop = new AbortController()
    const gone = bound(API, { headers: { authorization }, signal: stop.signal })
    await expect.poll(() => shown.mock.calls.length).toBe(1)
    shown.mockClear()
    await collected()
    stop.abort(new Error('enough'))
    await expect(gone).rejects.toThrow('enough')
    answer.resolve(new Response())
  })
})
