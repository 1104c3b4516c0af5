import { Box, Button, Center, Code, Group, List, Paper, Stack, Table, Text, ThemeIcon, Title } from '@mantine/core'
import { useEffect, useRef } from 'react'
import type { Stopped, StoppedReceiver } from '../../api/organization.ts'
import { CopyId } from '../../parts/copy.tsx'
import { Icon } from '../../parts/icon.tsx'
import { Status } from '../../parts/status.tsx'
import { When } from '../../parts/when.tsx'
import { useSession } from '../../session/context.ts'
import { Logo } from '../../shell/logo.tsx'
import { t, tn } from '../../texts/texts.ts'

/** What is left of the console once the tenant is stopped: how far the stop had come when it could still be asked, and the way back. */
export function StoppedTenant({ stopped: { name, txn, stoppedDateTime, proof } }: { stopped: Stopped }) {
  const { signInAsAnother } = useSession()
  const heading = useRef<HTMLHeadingElement>(null)
  useEffect(() => {
    document.title = `${t('settings.stop.stoppedTitle', { name })} · ${t('shell.product')}`
    heading.current?.focus()
  }, [name])
  const receivers = (proof?.receivers ?? []).toSorted((one, other) => Number(one.complete) - Number(other.complete))
  const listening = receivers.filter(({ status }) => status === 'enabled')
  const reached = listening.filter(({ complete }) => complete).length
  return (
    <Center mih="100vh" p="md" component="main">
      <Paper withBorder shadow="sm" radius="lg" p={{ base: 'md', sm: 'xl' }} w="100%" maw={720}>
        <Stack>
          <Logo />
          <Group gap="sm" wrap="nowrap" align="center">
            <ThemeIcon color="red" variant="light" size={40} radius="xl">
              <Icon name="stop" size={22} />
            </ThemeIcon>
            <Box>
              <Title order={1} size="h3" ref={heading} tabIndex={-1} style={{ outline: 'none' }}>
                {t('settings.stop.stoppedTitle', { name })}
              </Title>
              <Text size="sm" c="dimmed">
                <When at={stoppedDateTime} />
              </Text>
            </Box>
          </Group>
          <Text>{t('settings.stop.after.text')}</Text>

          <Title order={2} size="h5">
            {t('settings.stop.after.proof')}
          </Title>
          <Text size="sm" role="status">
            {listening.length === 0 ? t('settings.stop.after.nobody') : tn('settings.stop.after.reached', listening.length, { reached })}
          </Text>
          {receivers.length > 0 && <Receivers receivers={receivers} />}
          <Group gap="xs">
            <Text size="sm" c="dimmed">
              {t('settings.stop.after.txn')}
            </Text>
            <CopyId value={txn} label={t('settings.stop.after.txn')} />
          </Group>

          <Title order={2} size="h5">
            {t('settings.stop.after.back')}
          </Title>
          <List
            type="ordered"
            size="sm"
            spacing="xs"
            styles={{ itemWrapper: { display: 'inline-block', width: 'calc(100% - 1.5rem)', verticalAlign: 'top' } }}
          >
            <List.Item>
              {t('settings.stop.after.recover')}
              <Code block mt={4}>{`caegis recover ${name}`}</Code>
            </List.Item>
            <List.Item>{t('settings.stop.after.signIn')}</List.Item>
            <List.Item>
              {t('settings.stop.after.command')}
              <Code block mt={4}>{`caegis login --tenant ${name}\ncaegis resume ${name}`}</Code>
            </List.Item>
          </List>
          <Button onClick={() => void signInAsAnother()}>{t('settings.stop.after.again')}</Button>
        </Stack>
      </Paper>
    </Center>
  )
}

function Receivers({ receivers }: { receivers: StoppedReceiver[] }) {
  return (
    <Paper withBorder radius="md" style={{ overflow: 'hidden' }}>
      <Box mah={260} style={{ overflow: 'auto' }} tabIndex={0} role="region" aria-label={t('settings.stop.after.receivers')}>
        <Table verticalSpacing="xs" horizontalSpacing="md" aria-label={t('settings.stop.after.receivers')}>
          <Table.Thead>
            <Table.Tr>
              <Table.Th>{t('settings.stop.after.receiver')}</Table.Th>
              <Table.Th>{t('settings.stop.after.state')}</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {receivers.map(({ streamId, appId, displayName, status, complete }) => (
              <Table.Tr key={streamId}>
                <Table.Td>{displayName ?? appId}</Table.Td>
                <Table.Td>
                  <Status tone={complete ? 'good' : status === 'enabled' ? 'warn' : 'quiet'}>
                    {t(
                      complete ? 'settings.stop.after.complete' : status === 'enabled' ? 'settings.stop.after.pending' : 'settings.stop.after.silent',
                    )}
                  </Status>
                </Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </Box>
    </Paper>
  )
}
