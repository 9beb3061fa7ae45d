/** The elements of the call itself, which whoever stands before the door does not need yet. */

import "../components/header/header.js";
import "../components/view-switch/view-switch.js";
import "../components/self-view/self-view.js";
import "../components/banner/banner.js";
import "../components/notice/notice.js";
import "../components/admission/admission.js";
import "../components/invitation/invitation.js";
import "../components/invite/invite.js";
import "../components/invite/invite-dialog.js";
import "../components/rules/rules.js";
import "../components/tile/tile.js";
import "../components/quality/quality.js";
import "../components/stage/stage.js";
import "../components/chat/chat.js";
import "../components/questions/questions.js";
import "../components/people/people.js";
import "../components/sound/sound.js";
import "../components/ended/ended.js";
