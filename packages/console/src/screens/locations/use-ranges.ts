import { useEffect, useRef, useState } from 'react'
import type { RangesRead } from './ranges.ts'

interface Reader {
  /** What the newest text says; the last one's while it is being read. */
  read: RangesRead | undefined
  busy: boolean
  /** That there is another text; it is asked for when the typing pauses. */
  tell(text: () => string): void
  /** As soon as the newest text has been read. */
  settled(): Promise<RangesRead>
}

/** Milliseconds without a key after which it is read. */
const PAUSE = 150

/**
 * Has texts of ranges read by a worker, the newest last.
 * @param heard told of each text that is read
 */
export function useRanges(initial: string, heard: (text: string) => void): Reader {
  const [read, setRead] = useState<RangesRead>()
  const [busy, setBusy] = useState(initial !== '')
  const state = useRef<{
    worker?: Worker
    timer?: ReturnType<typeof setTimeout>
    id: number
    last?: RangesRead
    waiting: ((read: RangesRead) => void)[]
  }>({
    id: 0,
    waiting: [],
  })

  const hearing = useRef(heard)
  hearing.current = heard

  const tell = (ask: () => string) => {
    const { current } = state
    const id = ++current.id
    delete current.last
    setBusy(true)
    clearTimeout(current.timer)
    current.timer = setTimeout(() => {
      const text = ask()
      hearing.current(text)
      current.worker?.postMessage({ id, text })
    }, PAUSE)
  }

  // biome-ignore lint/correctness/useExhaustiveDependencies: one worker for as long as the field is there; what it begins with does not change
  useEffect(() => {
    const { current } = state
    const worker = new Worker(new URL('./ranges.worker.ts', import.meta.url), { type: 'module' })
    current.worker = worker
    worker.addEventListener('message', ({ data }: MessageEvent<{ id: number; read: RangesRead }>) => {
      if (data.id !== current.id) return
      current.last = data.read
      setRead(data.read)
      setBusy(false)
      for (const done of current.waiting.splice(0)) done(data.read)
    })
    current.worker.postMessage({ id: current.id, text: initial })
    return () => {
      clearTimeout(current.timer)
      worker.terminate()
    }
  }, [])

  const settled = () => new Promise<RangesRead>((resolve) => (state.current.last ? resolve(state.current.last) : state.current.waiting.push(resolve)))
  return { read, busy, tell, settled }
}
