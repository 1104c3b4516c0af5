import { afterAll, beforeAll, expect } from 'vitest'
import { type Chromium, startChromium } from './chromium.ts'
import { type ConsoleWindow, openConsole } from './console.ts'
import { type Loop, type LoopOptions, startLoop } from './loop.ts'

export let loop: Loop
export let chromium: Chromium
/** An administrator's, through all tests of the file. */
export let admin: ConsoleWindow

interface AdminOptions extends LoopOptions {
  path?: string
  /** What the server refuses on purpose; anything else that goes wrong in the window fails the file. */
  refused?: RegExp
}

/** A server for the tests of a file, and an administrator at its console. */
export function administer({ path, refused, ...options }: AdminOptions = {}): void {
  beforeAll(async () => {
    loop = await startLoop(options)
    chromium = await startChromium()
    admin = await openConsole(chromium, loop, path === undefined ? {} : { path })
  })
  afterAll(async () => {
    const faults = admin?.faults.filter((fault) => !refused?.test(fault)) ?? []
    await chromium?.close()
    await loop?.close()
    expect(faults).toEqual([])
  })
}
