import { Modal, type ModalProps, Text } from '@mantine/core'
import type { ReactNode } from 'react'
import { t } from '../texts/texts.ts'

interface DialogProps extends Pick<ModalProps, 'opened' | 'onClose' | 'size' | 'closeOnClickOutside'> {
  title: ReactNode
  children: ReactNode
}

/** A question or a form over the screen. What is in it begins anew each time it is opened; the focus goes back to where it was. */
export function Dialog({ title, children, ...modal }: DialogProps) {
  return (
    <Modal
      {...modal}
      centered
      closeButtonProps={{ 'aria-label': t('parts.close') }}
      title={
        <Text span fw={700}>
          {title}
        </Text>
      }
    >
      {children}
    </Modal>
  )
}
