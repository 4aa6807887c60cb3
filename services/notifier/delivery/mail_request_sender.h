// Sends mails through the operator's mail server, and passes every other request on.
//
// While that server cannot be used, a mail is kPostponed: nobody's destination is at fault, and no attempt counts.
// Before a mail is sent, its picture is drawn, on the mail's own thread; where there is none it goes without.
// Thread-safe.
#pragma once

#include "services/common/mail/smtp_client.h"
#include "services/notifier/delivery/request_sender.h"
#include "services/notifier/picture/picture_maker.h"

namespace stockalert::notifier {

class MailRequestSender final : public RequestSender {
 public:
  // What is given must outlive it. `pictures`: null where mails have none.
  MailRequestSender(mail::SmtpClient& client, RequestSender& others, PictureMaker* pictures = nullptr);

  void Send(const OutgoingRequest& request, Done done) override;

 private:
  mail::SmtpClient& client_;
  RequestSender& others_;
  PictureMaker* const pictures_;
};

}  // namespace stockalert::notifier
