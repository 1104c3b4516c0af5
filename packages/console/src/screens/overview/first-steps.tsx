import { Anchor, List, Paper, Stack, Text, Title } from '@mantine/core'
import { Link } from 'wouter'
import { type TextKey, t } from '../../texts/texts.ts'

const STEPS: { text: TextKey; link: TextKey; href: string }[] = [
  { text: 'overview.first.people', link: 'overview.first.peopleLink', href: '/users' },
  { text: 'overview.first.api', link: 'overview.first.apiLink', href: '/applications' },
  { text: 'overview.first.guard', link: 'overview.first.guardLink', href: '/streams' },
  { text: 'overview.first.policy', link: 'overview.first.policyLink', href: '/policies' },
]

/** What to do where no API listens yet, so that nothing could be taken back. */
export function FirstSteps() {
  return (
    <Paper withBorder radius="md" p="md" component="section" aria-labelledby="first-title">
      <Stack gap="xs">
        <Title order={2} size="h4" id="first-title">
          {t('overview.first.title')}
        </Title>
        <Text size="sm" c="dimmed">
          {t('overview.first.text')}
        </Text>
        <List type="ordered" size="sm" spacing={4}>
          {STEPS.map(({ text, link, href }) => (
            <List.Item key={href}>
              {t(text)}{' '}
              <Anchor component={Link} href={href} size="sm">
                {t(link)}
              </Anchor>
            </List.Item>
          ))}
        </List>
      </Stack>
    </Paper>
  )
}
