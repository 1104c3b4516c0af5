import type { Mistake } from '@caegis/policy'
import { createContext, useContext } from 'react'
import { type Conditions, type Draft, isUnder, valueAt } from './draft.ts'

export interface Editor {
  draft: Draft
  change(part: Partial<Draft>): void
  setConditions(part: Partial<Conditions>): void
  /** What is to be shown as wrong, at its place. */
  mistakes: readonly Mistake[]
}

const EditorContext = createContext<Editor | undefined>(undefined)
export const EditorProvider = EditorContext.Provider

export function useEditor() {
  const editor = useContext(EditorContext)
  if (!editor) throw new TypeError('useEditor stands outside of an editor')
  /** What is wrong with what stands at a pointer, or inside of it; of an entry of a list it says which. */
  const mistakeAt = (pointer: string): string | undefined => {
    const found = editor.mistakes.filter(({ path }) => isUnder(path, pointer))
    if (found.length === 0) return undefined
    return found.map((one) => `${entryOf(editor.draft, one, pointer)}${one.message}`).join('; ')
  }
  return { ...editor, mistakeAt }
}

function entryOf(draft: Draft, { path }: Mistake, pointer: string): string {
  const value = path === pointer ? undefined : valueAt(draft, path)
  return typeof value === 'string' ? `${value}: ` : ''
}
