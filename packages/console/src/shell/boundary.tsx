import { Button } from '@mantine/core'
import { Component, type ReactNode } from 'react'
import { Empty } from '../parts/empty.tsx'
import { t } from '../texts/texts.ts'

/** A screen that fails takes nothing else with it. React knows no other form of this than a class. */
export class Boundary extends Component<{ children: ReactNode }, { failed: string | undefined }> {
  override state: { failed: string | undefined } = { failed: undefined }

  static getDerivedStateFromError(error: unknown) {
    return { failed: error instanceof Error ? error.message : String(error) }
  }

  override render() {
    if (this.state.failed === undefined) return this.props.children
    return (
      <Empty icon="warning" title={t('shell.crashed.title')} text={`${t('shell.crashed.text')} (${this.state.failed})`}>
        <Button onClick={() => location.reload()}>{t('shell.crashed.reload')}</Button>
      </Empty>
    )
  }
}
