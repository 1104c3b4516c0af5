import { createContext, type ReactNode, useContext, useMemo, useState } from 'react'
import { EndedNotice } from './ended.tsx'

interface LastWord {
  /** Shows something in the place of the whole console, which can ask nothing any more. */
  say(content: ReactNode): void
  /** While it is held, nobody is told that the access has ended: what ends it is under way, and will say so itself. */
  hold(isHeld: boolean): void
}

const LastWordContext = createContext<LastWord | undefined>(undefined)

/** The console, until its access ends; or what was the last thing that it did. */
export function LastWordProvider({ children }: { children: ReactNode }) {
  const [content, say] = useState<ReactNode>()
  const [isHeld, hold] = useState(false)
  const word = useMemo(() => ({ say: (last: ReactNode) => say(last), hold }), [])
  return (
    <LastWordContext value={word}>
      {content ?? (
        <>
          {children}
          {!isHeld && <EndedNotice />}
        </>
      )}
    </LastWordContext>
  )
}

export function useLastWord(): LastWord {
  const word = useContext(LastWordContext)
  if (!word) throw new TypeError('useLastWord stands outside of a LastWordProvider')
  return word
}
