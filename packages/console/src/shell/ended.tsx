import { Button, Modal, Stack, Text } from '@mantine/core'
import { useEffect, useState } from 'react'
import { useSession } from '../session/context.ts'
import { t } from '../texts/texts.ts'

/** Says that the access of whoever sits here has ended, over whatever they were looking at, and leads back in. */
export function EndedNotice() {
  const session = useSession()
  const [ended, setEnded] = useState(session.ended())
  useEffect(() => session.onEnded(() => setEnded(session.ended())), [session])
  return (
    <Modal
      opened={ended !== undefined}
      onClose={() => {}}
      withCloseButton={false}
      closeOnEscape={false}
      closeOnClickOutside={false}
      centered
      zIndex={500}
      title={
        <Text span fw={700}>
          {t('session.ended.title')}
        </Text>
      }
    >
      <Stack>
        <Text>{t('session.ended.text')}</Text>
        {ended && (
          <Text size="sm" c="dimmed">
            {t('session.ended.reason', { reason: ended.message || ended.reason })}
          </Text>
        )}
        <Button data-autofocus onClick={() => void session.signInAgain()}>
          {t('session.ended.again')}
        </Button>
      </Stack>
    </Modal>
  )
}
